// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {DepositFactory} from "../src/DepositFactory.sol";
import {IDepositFactory} from "../src/IDepositFactory.sol";
import {BlocklistToken} from "../src/sandbox/BlocklistToken.sol";
import {FeeToken} from "../src/sandbox/FeeToken.sol";
import {SilentToken} from "../src/sandbox/SilentToken.sol";
import {FactoryBase, Vm} from "./FactoryBase.sol";
import {ContractTreasury, DearToken, HostileToken} from "./Hostile.sol";

/// @dev A token may do what it likes; the others and ETH are swept all the same, and what is told is true.
contract FailingTest is FactoryBase {
    bytes32 private constant SALT = bytes32("deposit");

    function _fund(address asset) private {
        HostileToken(asset).mint(factory.depositAddress(SALT), 1000);
        token.mint(factory.depositAddress(SALT), 500);
        vm.deal(factory.depositAddress(SALT), 1 ether);
    }

    /// @dev The hostile token first, a good one and ETH behind it.
    function _sweepBehind(address asset) private returns (Vm.Log[] memory logs) {
        _fund(asset);
        IDepositFactory.Batch[] memory batches = new IDepositFactory.Batch[](3);
        batches[0] = batch(asset, 1, SALT);
        batches[1] = batch(address(token), 0, SALT);
        batches[2] = batch(ETHER, 0, SALT);
        vm.recordLogs();
        factory.sweep{gas: 2_000_000}(batches, CALL_GAS); // a token that burns all it gets must leave enough
        logs = vm.getRecordedLogs();
        eq(token.balanceOf(treasury), 500, "the good token arrived");
        eq(treasury.balance, 1 ether, "ETH arrived");
    }

    /// @dev Each way to fail: one SweepFailed, two Swept for the others, no more.
    function testFuzz_AFailingTokenNeverBlocksTheOthers(uint8 chosen) public {
        HostileToken.Way way = HostileToken.Way(chosen % uint8(HostileToken.Way.Vanishes));
        Vm.Log[] memory logs = _sweepBehind(address(new HostileToken(way)));
        eq(count(logs, IDepositFactory.SweepFailed.selector), 1, "failed");
        eq(count(logs, IDepositFactory.Swept.selector), 2, "swept");
        eq(count(logs, IDepositFactory.Received.selector), 0, "received");
    }

    /// @dev The same, each way for certain and not by the fuzzer's choice.
    function test_EveryWayToFail() public {
        for (uint8 way = 0; way < uint8(HostileToken.Way.Vanishes); ++way) {
            setUp();
            testFuzz_AFailingTokenNeverBlocksTheOthers(way);
            vm.deal(treasury, 0);
        }
    }

    function test_ATokenWithoutCodeNeverBlocksTheOthers() public {
        address none = address(0xDEAD);
        vm.deal(factory.depositAddress(SALT), 1 ether);
        IDepositFactory.Batch[] memory batches = new IDepositFactory.Batch[](5);
        batches[0] = batch(none, 0, SALT);
        batches[1] = batch(address(2), 0, SALT); // a precompile answers anything with a word
        batches[2] = batch(address(factory), 0, SALT);
        batches[3] = batch(factory.deploy(bytes32("another")), 0, SALT); // a deposit address as token
        batches[4] = batch(ETHER, 0, SALT);
        vm.recordLogs();
        factory.sweep(batches, CALL_GAS);
        eq(count(vm.getRecordedLogs(), IDepositFactory.SweepFailed.selector), 4, "failed");
        eq(treasury.balance, 1 ether, "ETH arrived");
    }

    function testFuzz_ATokenThatReturnsNothingIsSwept(uint128 amount) public {
        SilentToken silent = new SilentToken("Tether", "USDT", 6);
        silent.mint(factory.depositAddress(SALT), uint256(amount) + 1);
        expectSwept(SALT, address(silent), uint256(amount) + 1);
        sweep(address(silent), SALT);
        eq(silent.balanceOf(treasury), uint256(amount) + 1, "arrived");
    }

    /// @dev What left in Swept, what arrived in Received right behind it; the parts add up to the truth.
    function testFuzz_AFeeIsTold(uint96 first, uint96 second) public {
        FeeToken fee = new FeeToken("Fee", "FEE", 18);
        bytes32[] memory salts = new bytes32[](2);
        (salts[0], salts[1]) = (bytes32("one"), bytes32("two"));
        uint256[2] memory amounts = [uint256(first) + 2, uint256(second) + 2];
        for (uint256 i = 0; i < 2; ++i) {
            fee.mint(factory.depositAddress(salts[i]), amounts[i]);
        }
        IDepositFactory.Batch[] memory batches = new IDepositFactory.Batch[](1);
        batches[0] = IDepositFactory.Batch(address(fee), 2, salts);
        vm.recordLogs();
        factory.sweep(batches, CALL_GAS);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 arrived = 0;
        uint256 at = 0;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(factory)) continue;
            eq(logs[i].topics[0], IDepositFactory.Swept.selector, "Swept");
            eq(logs[i].topics[1], salts[at], "salt");
            uint256 amount = abi.decode(logs[i].data, (uint256));
            eq(amount, amounts[at++], "what left");
            if (i + 1 < logs.length && logs[i + 1].topics[0] == IDepositFactory.Received.selector) {
                eq(logs[++i].topics[1], logs[i - 1].topics[1], "Received stands behind its Swept");
                amount = abi.decode(logs[i].data, (uint256));
            }
            arrived += amount;
        }
        eq(at, 2, "both swept");
        eq(arrived, fee.balanceOf(treasury), "what arrived");
    }

    function test_AFeeOfOneAddressIsExact() public {
        FeeToken fee = new FeeToken("Fee", "FEE", 18);
        fee.mint(factory.depositAddress(SALT), 1050);
        expectSwept(SALT, address(fee), 1050);
        vm.expectEmit(true, true, true, true, address(factory));
        emit IDepositFactory.Received(SALT, address(fee), 1039);
        sweep(address(fee), SALT);
    }

    function test_ATokenThatArrivesElsewhereIsToldSo() public {
        HostileToken selfish = new HostileToken(HostileToken.Way.Selfish);
        selfish.mint(factory.depositAddress(SALT), 1000);
        expectSwept(SALT, address(selfish), 1000);
        vm.expectEmit(true, true, true, true, address(factory));
        emit IDepositFactory.Received(SALT, address(selfish), 0);
        sweep(address(selfish), SALT);
    }

    /// @dev A blocked address among others of the same token: only it stays, and it is swept once unblocked.
    function testFuzz_ABlockedAddressStaysAlone(uint8 blocked) public {
        BlocklistToken coin = new BlocklistToken("Coin", "USDC", 6);
        bytes32[] memory salts = new bytes32[](5);
        for (uint256 i = 0; i < 5; ++i) {
            salts[i] = bytes32(i + 1);
            coin.mint(factory.depositAddress(salts[i]), 10 ** (i + 1));
        }
        uint256 which = blocked % 5;
        address stuck = factory.depositAddress(salts[which]);
        coin.setBlocked(stuck, true);
        IDepositFactory.Batch[] memory batches = new IDepositFactory.Batch[](1);
        batches[0] = IDepositFactory.Batch(address(coin), 5, salts);
        vm.recordLogs();
        factory.sweep(batches, CALL_GAS);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        eq(count(logs, IDepositFactory.Swept.selector), 4, "swept");
        eq(count(logs, IDepositFactory.SweepFailed.selector), 1, "failed");
        eq(count(logs, IDepositFactory.Received.selector), 0, "nothing lost on the way");
        eq(coin.balanceOf(treasury), 111110 - 10 ** (which + 1), "the others arrived");
        coin.setBlocked(stuck, false);
        factory.sweep(batches, CALL_GAS);
        eq(coin.balanceOf(treasury), 111110, "and the last one later");
    }

    function test_ATreasuryThatRefusesEtherBlocksNoToken() public {
        ContractTreasury refusing = new ContractTreasury();
        propose(address(refusing));
        vm.warp(block.timestamp + 48 hours);
        refusing.accept(factory);
        refusing.setRefuses(true);
        vm.deal(factory.depositAddress(SALT), 1 ether);
        token.mint(factory.depositAddress(SALT), 500);
        IDepositFactory.Batch[] memory batches = new IDepositFactory.Batch[](2);
        batches[0] = batch(ETHER, 0, SALT);
        batches[1] = batch(address(token), 0, SALT);
        factory.sweep(batches, CALL_GAS);
        eq(factory.depositAddress(SALT).balance, 1 ether, "ETH stays");
        eq(token.balanceOf(address(refusing)), 500, "tokens arrived");
        refusing.setRefuses(false);
        sweep(ETHER, SALT);
        eq(address(refusing).balance, 1 ether, "ETH arrived later");
    }

    /// @dev With any gas limit the transaction reverts or does all of its work: too little gas never looks like a
    /// token's failure, so an estimate of gas is right.
    function testFuzz_TooLittleGasNeverLooksLikeAFailure(uint256 gas_) public {
        gas_ = bound(gas_, 40_000, 500_000);
        token.mint(factory.depositAddress(SALT), 500);
        vm.deal(factory.depositAddress(SALT), 1 ether);
        IDepositFactory.Batch[] memory batches = new IDepositFactory.Batch[](2);
        batches[0] = batch(address(token), gas_ % 2, SALT);
        batches[1] = batch(ETHER, 0, SALT);
        try factory.sweep{gas: gas_}(batches, CALL_GAS) {
            eq(token.balanceOf(treasury), 500, "token");
            eq(treasury.balance, 1 ether, "ETH");
        } catch {
            eq(token.balanceOf(treasury) + treasury.balance, 0, "nothing happened");
        }
    }

    /// @dev The same with a dear token, where a 64th of the gas would be enough to go on and tell a failure.
    /// However much of `callGas` the token needs, and through however many frames its failure comes back.
    function testFuzz_TooLittleGasForADearToken(uint256 gas_, uint256 callGas) public {
        gas_ = bound(gas_, 300_000, 1_500_000);
        callGas = bound(callGas, 1_100_000, 2_000_000);
        DearToken dear = new DearToken();
        dear.mint(factory.depositAddress(SALT), 500);
        IDepositFactory.Batch[] memory batches = new IDepositFactory.Batch[](1);
        batches[0] = batch(address(dear), 1, SALT);
        try factory.sweep{gas: gas_}(batches, callGas) {
            eq(dear.balanceOf(treasury), 500, "swept");
        } catch {
            eq(dear.balanceOf(treasury), 0, "nothing happened");
        }
    }

    /// @dev Two lies that add up to more than a word holds, in front of a good token.
    function test_LiesThatOverflowBlockNothing() public {
        HostileToken liar = new HostileToken(HostileToken.Way.Vanishes);
        bytes32[] memory salts = new bytes32[](2);
        (salts[0], salts[1]) = (SALT, bytes32("two"));
        liar.mint(factory.depositAddress(salts[0]), 1);
        liar.mint(factory.depositAddress(salts[1]), 1);
        token.mint(factory.depositAddress(SALT), 500);
        IDepositFactory.Batch[] memory batches = new IDepositFactory.Batch[](2);
        batches[0] = IDepositFactory.Batch(address(liar), 2, salts);
        batches[1] = batch(address(token), 0, SALT);
        factory.sweep(batches, CALL_GAS);
        eq(token.balanceOf(treasury), 500, "the good token arrived");
    }

    /// @dev A caller who gives calls too little gas on purpose harms nobody: the money stays where it was.
    function testFuzz_TooLittleCallGasLosesNothing(uint16 callGas) public {
        token.mint(factory.depositAddress(SALT), 500);
        IDepositFactory.Batch[] memory batches = new IDepositFactory.Batch[](1);
        batches[0] = batch(address(token), 1, SALT);
        vm.prank(STRANGER);
        factory.sweep(batches, callGas);
        eq(token.balanceOf(treasury) + token.balanceOf(factory.depositAddress(SALT)), 500, "all there");
        sweep(address(token), SALT);
        eq(token.balanceOf(treasury), 500, "and the next sweep takes it");
    }

    /// @dev In the middle of a sweep neither another sweep nor a change of the treasury goes through, even where
    /// everything else (delay, proof) is in order.
    function test_ReentranceIsRefused() public {
        address next = vm.addr(2);
        propose(next);
        vm.warp(block.timestamp + 48 hours);
        bytes memory proof = signed(2, factory.treasuryDigest(next));
        IDepositFactory.Batch[] memory again = new IDepositFactory.Batch[](1);
        again[0] = batch(address(token), 0, SALT);
        bytes[2] memory calls = [
            abi.encodeCall(factory.setTreasury, (next, proof)),
            abi.encodeCall(factory.sweep, (again, CALL_GAS))
        ];
        token.mint(factory.depositAddress(SALT), 500);
        for (uint256 i = 0; i < 2; ++i) {
            HostileToken hostile = new HostileToken(HostileToken.Way.Reenters);
            hostile.mint(factory.depositAddress(SALT), 1000);
            hostile.arm(address(factory), calls[i]);
            sweep(address(hostile), SALT);
            bytes32 told = keccak256(hostile.outcome());
            eq(told, keccak256(abi.encodeWithSelector(IDepositFactory.Reentered.selector)), "refused");
            eq(hostile.balanceOf(treasury), 1000, "the treasury in force was paid");
        }
        eq(factory.treasury(), treasury, "unchanged");
        factory.setTreasury(next, proof);
        eq(factory.treasury(), next, "outside a sweep it goes through");
    }
}
