// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Multisend} from "../src/Multisend.sol";
import {BlocklistToken} from "../src/sandbox/BlocklistToken.sol";
import {FeeToken} from "../src/sandbox/FeeToken.sol";
import {SandboxToken} from "../src/sandbox/SandboxToken.sol";
import {SilentToken} from "../src/sandbox/SilentToken.sol";
import {Base, Vm} from "./Base.sol";
import {DearToken} from "./Hostile.sol";
import {Payee, TrickToken} from "./Tricks.sol";

/// @dev Exact or not at all, each for itself, and the events add up to what left.
contract MultisendTest is Base {
    uint256 private constant CALL_GAS = 100_000;
    address private constant ETHER = address(0);
    address private constant WALLET = address(0x40747);
    address private constant ALICE = address(0xA11CE);
    address private constant BOB = address(0xB0B);

    Multisend private multisend = new Multisend();
    SandboxToken private token = new SandboxToken("Dollar", "USD", 6);

    function _one(address asset, address to, uint256 amount)
        private
        pure
        returns (Multisend.Payment[] memory payments)
    {
        payments = new Multisend.Payment[](1);
        payments[0] = Multisend.Payment(asset, to, amount);
    }

    function _fund(address asset, uint256 amount) private {
        SandboxToken(asset).mint(WALLET, amount);
        vm.prank(WALLET);
        IERC20(asset).approve(address(multisend), amount);
    }

    /// @dev Sum and number of what was told of `asset` as `topic` for the wallet.
    function _told(Vm.Log[] memory logs, bytes32 topic, address asset)
        private
        view
        returns (uint256 sum, uint256 number)
    {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(multisend) || logs[i].topics[0] != topic) continue;
            if (logs[i].topics[1] != bytes32(uint256(uint160(WALLET)))) continue;
            (address of_, uint256 amount) = abi.decode(logs[i].data, (address, uint256));
            if (of_ != asset) continue;
            sum += amount;
            ++number;
        }
    }

    function _send(Multisend.Payment[] memory payments, uint256 value) private returns (Vm.Log[] memory) {
        vm.recordLogs();
        vm.prank(WALLET);
        multisend.send{value: value}(payments, CALL_GAS);
        eq(address(multisend).balance, 0, "no ETH stays");
        return vm.getRecordedLogs();
    }

    /// @dev Good and bad payees and tokens in any mixture: who is good is paid exactly, what is told is what left.
    function testFuzz_AnyMixture(uint256 seed, uint8 size) public {
        Multisend.Payment[] memory payments = new Multisend.Payment[](size % 24 + 1);
        TrickToken trick = new TrickToken(TrickToken.Way(seed % uint8(TrickToken.Way.Reenters)));
        Payee bad = new Payee(Payee.Way(1 + seed % 3), multisend);
        _fund(address(token), type(uint128).max);
        _fund(address(trick), type(uint128).max);
        uint256[4] memory due; // ETH good, ETH bad, tokens, tricky tokens
        for (uint256 i = 0; i < payments.length; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            uint256 kind = random % 4;
            uint256 amount = 1 + (random >> 8) % 1e24;
            address to = kind == 1 ? address(bad) : address(uint160(0x1000 + (random >> 100) % 5));
            address asset = kind < 2 ? ETHER : kind == 2 ? address(token) : address(trick);
            payments[i] = Multisend.Payment(asset, to, amount);
            due[kind] += amount;
        }
        vm.deal(WALLET, due[0] + due[1]);
        Vm.Log[] memory logs = _send(payments, due[0] + due[1]);
        (uint256 sum,) = _told(logs, Multisend.Sent.selector, ETHER);
        eq(sum, due[0], "ETH told as sent");
        (sum,) = _told(logs, Multisend.Failed.selector, ETHER);
        eq(sum, due[1], "ETH told as failed");
        eq(WALLET.balance, due[1], "which is back");
        (sum,) = _told(logs, Multisend.Sent.selector, address(token));
        eq(sum, due[2], "tokens told as sent");
        eq(token.balanceOf(WALLET), type(uint128).max - due[2], "tokens that left");
        (sum,) = _told(logs, Multisend.Failed.selector, address(trick));
        eq(sum, due[3], "every trick is told as failed");
        if (trick.WAY() != TrickToken.Way.BalanceReverts) {
            eq(trick.balanceOf(WALLET), type(uint128).max, "and undone");
        }
        eq(token.balanceOf(address(multisend)), 0, "no token stays");
        for (uint256 i = 0; i < 5; ++i) {
            sum += address(uint160(0x1000 + i)).balance;
        }
        eq(sum - due[3], due[0], "payees hold what was told");
    }

    function test_EachPaymentHasItsEventInOrder() public {
        Multisend.Payment[] memory payments = new Multisend.Payment[](3);
        Payee refusing = new Payee(Payee.Way.Refuses, multisend);
        payments[0] = Multisend.Payment(ETHER, ALICE, 5);
        payments[1] = Multisend.Payment(ETHER, address(refusing), 7);
        payments[2] = Multisend.Payment(address(token), BOB, 9);
        _fund(address(token), 9);
        vm.deal(WALLET, 12);
        vm.expectEmit(true, true, true, true, address(multisend));
        emit Multisend.Sent(WALLET, 0, ETHER, ALICE, 5);
        vm.expectEmit(true, true, true, true, address(multisend));
        emit Multisend.Failed(WALLET, 1, ETHER, address(refusing), 7);
        vm.expectEmit(true, true, true, true, address(multisend));
        emit Multisend.Sent(WALLET, 2, address(token), BOB, 9);
        vm.prank(WALLET);
        multisend.send{value: 12}(payments, CALL_GAS);
        eq(WALLET.balance, 7, "what was refused is back");
    }

    function testFuzz_AnotherValueIsRefused(uint96 amount, uint96 sent) public {
        uint256 some = uint256(amount) + 1;
        vm.assume(sent != some);
        vm.deal(WALLET, sent);
        vm.expectRevert(abi.encodeWithSelector(Multisend.WrongValue.selector, sent, some));
        vm.prank(WALLET);
        multisend.send{value: sent}(_one(ETHER, ALICE, some), CALL_GAS);
        vm.expectRevert(abi.encodeWithSelector(Multisend.WrongValue.selector, 1, 0));
        multisend.send{value: 1}(new Multisend.Payment[](0), CALL_GAS);
    }

    function test_WhatIsNoPayoutIsRefused() public {
        address[3] memory nobody = [address(0), address(multisend), WALLET];
        vm.deal(WALLET, 10);
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Multisend.PaymentInvalid.selector, 0));
            vm.prank(WALLET);
            multisend.send{value: 1}(_one(ETHER, nobody[i], 1), CALL_GAS);
        }
        vm.expectRevert(abi.encodeWithSelector(Multisend.PaymentInvalid.selector, 0));
        vm.prank(WALLET);
        multisend.send(_one(address(token), ALICE, 0), CALL_GAS);
        (bool accepted,) = address(multisend).call{value: 1}("");
        yes(!accepted, "plain ETH is refused");
    }

    /// @dev Allowances to this contract are many: nobody but their owner spends them.
    function testFuzz_NobodySpendsAnothersAllowance(address sender, address to) public {
        vm.assume(sender != address(multisend) && sender != WALLET && to != sender);
        vm.assume(to != address(0) && to != address(multisend) && to != WALLET);
        _fund(address(token), 1000);
        vm.expectRevert(abi.encodeWithSelector(Multisend.OnlyItself.selector));
        vm.prank(sender);
        multisend.sendToken(token, WALLET, to, 1000);
        vm.prank(sender);
        multisend.send(_one(address(token), to, 1000), CALL_GAS);
        eq(token.balanceOf(WALLET), 1000, "untouched");
        // nor by naming this contract as the token
        vm.prank(sender);
        multisend.send(_one(address(multisend), to, 1000), CALL_GAS);
        eq(token.balanceOf(WALLET), 1000, "untouched");
    }

    function test_FeesAreNoPayouts() public {
        FeeToken fee = new FeeToken("Fee", "FEE", 18);
        _fund(address(fee), 1000);
        Vm.Log[] memory logs = _send(_one(address(fee), ALICE, 1000), 0);
        (, uint256 failed) = _told(logs, Multisend.Failed.selector, address(fee));
        eq(failed, 1, "told as failed");
        eq(fee.balanceOf(WALLET), 1000, "and undone");
    }

    function testFuzz_ATokenThatReturnsNothingIsSent(uint128 amount) public {
        uint256 some = uint256(amount) + 1;
        SilentToken silent = new SilentToken("Tether", "USDT", 6);
        silent.mint(WALLET, some);
        vm.prank(WALLET);
        silent.approve(address(multisend), some);
        Vm.Log[] memory logs = _send(_one(address(silent), ALICE, some), 0);
        (uint256 sum,) = _told(logs, Multisend.Sent.selector, address(silent));
        eq(sum, some, "told");
        eq(silent.balanceOf(ALICE), some, "arrived");
    }

    function test_ABlockedPayeeStaysAlone() public {
        BlocklistToken coin = new BlocklistToken("Coin", "USDC", 6);
        _fund(address(coin), 30);
        coin.setBlocked(ALICE, true);
        Multisend.Payment[] memory payments = new Multisend.Payment[](3);
        payments[0] = Multisend.Payment(address(coin), BOB, 10);
        payments[1] = Multisend.Payment(address(coin), ALICE, 10);
        payments[2] = Multisend.Payment(address(coin), BOB, 10); // the same payee twice
        Vm.Log[] memory logs = _send(payments, 0);
        (uint256 sum, uint256 number) = _told(logs, Multisend.Sent.selector, address(coin));
        eq(sum + number, 22, "two of ten");
        eq(coin.balanceOf(BOB), 20, "arrived");
        eq(coin.balanceOf(WALLET), 10, "the third stays");
    }

    function test_ATokenWithoutCodeAndTooLittleAllowanceFail() public {
        Multisend.Payment[] memory payments = new Multisend.Payment[](3);
        payments[0] = Multisend.Payment(address(0xDEAD), ALICE, 10);
        payments[1] = Multisend.Payment(address(token), ALICE, 11); // more than allowed
        payments[2] = Multisend.Payment(address(token), ALICE, 10);
        _fund(address(token), 10);
        Vm.Log[] memory logs = _send(payments, 0);
        (, uint256 failed) = _told(logs, Multisend.Failed.selector, address(0xDEAD));
        (, uint256 short) = _told(logs, Multisend.Failed.selector, address(token));
        eq(failed + short, 2, "failed");
        eq(token.balanceOf(ALICE), 10, "the last one is paid");
    }

    /// @dev A payee that calls back spends what it was paid and nothing else; its events name itself.
    function test_ReentranceSpendsOnlyItsOwn() public {
        Payee again = new Payee(Payee.Way.Reenters, multisend);
        Multisend.Payment[] memory payments = new Multisend.Payment[](2);
        payments[0] = Multisend.Payment(ETHER, address(again), 1000);
        payments[1] = Multisend.Payment(ETHER, BOB, 500);
        vm.deal(WALLET, 1500);
        Vm.Log[] memory logs = _send(payments, 1500);
        (uint256 sum, uint256 number) = _told(logs, Multisend.Sent.selector, ETHER);
        eq(sum, 1500, "told of the wallet");
        eq(number, 2, "no third one");
        eq(address(0xCAFE).balance, 501, "the payee's own payment");
        eq(address(again).balance, 499, "from what it was paid");
        eq(BOB.balance, 500, "the other");
        TrickToken trick = new TrickToken(TrickToken.Way.Reenters);
        _fund(address(trick), 100);
        _fund(address(token), 100);
        trick.arm(
            address(multisend), abi.encodeCall(multisend.sendToken, (token, WALLET, address(trick), 100))
        );
        _send(_one(address(trick), ALICE, 100), 0);
        eq(bytes32(bytes4(trick.outcome())), bytes32(Multisend.OnlyItself.selector), "refused");
        eq(token.balanceOf(WALLET), 100, "untouched");
    }

    function test_ASenderThatRefusesItsOwnEtherSendsNothing() public {
        Payee wallet = new Payee(Payee.Way.Refuses, multisend);
        Payee payee = new Payee(Payee.Way.Refuses, multisend);
        vm.deal(address(wallet), 5);
        vm.expectRevert(abi.encodeWithSelector(Multisend.RefundRefused.selector, address(wallet), 5));
        vm.prank(address(wallet));
        multisend.send{value: 5}(_one(ETHER, address(payee), 5), CALL_GAS);
        eq(address(wallet).balance, 5, "nothing happened");
    }

    /// @dev With any gas limit the call reverts or pays: too little gas never looks like a payee's failure.
    function testFuzz_TooLittleGasNeverLooksLikeAFailure(uint256 gas_, uint256 callGas) public {
        gas_ = bound(gas_, 100_000, 1_500_000);
        callGas = bound(callGas, 1_100_000, 2_000_000);
        SandboxToken dear = SandboxToken(address(new DearToken()));
        _fund(address(dear), 500);
        vm.prank(WALLET);
        try multisend.send{gas: gas_}(_one(address(dear), ALICE, 500), callGas) {
            eq(dear.balanceOf(ALICE), 500, "paid");
        } catch {
            eq(dear.balanceOf(ALICE), 0, "nothing happened");
        }
    }

    function test_HundredsInOneCall() public {
        Multisend.Payment[] memory payments = new Multisend.Payment[](500);
        for (uint256 i = 0; i < 500; ++i) {
            payments[i] = Multisend.Payment(address(token), address(uint160(0x1000 + i)), 7);
        }
        _fund(address(token), 3500);
        Vm.Log[] memory logs = _send(payments, 0);
        (, uint256 number) = _told(logs, Multisend.Sent.selector, address(token));
        eq(number, 500, "all");
    }
}
