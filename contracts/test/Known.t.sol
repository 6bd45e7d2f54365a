// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {DepositFactory} from "../src/DepositFactory.sol";
import {IDepositFactory} from "../src/IDepositFactory.sol";
import {BlocklistToken} from "../src/sandbox/BlocklistToken.sol";
import {FeeToken} from "../src/sandbox/FeeToken.sol";
import {SandboxToken} from "../src/sandbox/SandboxToken.sol";
import {FactoryBase, Vm} from "./FactoryBase.sol";
import {DearToken, HostileToken} from "./Hostile.sol";

/// @dev `sweepKnown`: the amounts are a hint; whatever they are, what is told is true and the rest stays.
contract KnownTest is FactoryBase {
    bytes32 private constant SALT = bytes32(uint256(7));

    function _word(uint256 amount, bytes32 salt) private pure returns (bytes32) {
        return bytes32((amount << 128) | uint256(salt));
    }

    function _one(uint256 amount) private pure returns (bytes32[] memory known) {
        known = new bytes32[](1);
        known[0] = _word(amount, SALT);
    }

    /// @dev forge records the logs of an undone frame too, which no chain keeps: the quick half is tried before,
    /// and as many logs as it left when it was undone are taken off.
    function _sweep(address asset, uint256 fresh, bytes32[] memory known)
        private
        returns (Vm.Log[] memory logs)
    {
        uint256 undone = 0;
        uint256 snapshot = vm.snapshotState();
        vm.recordLogs();
        vm.prank(address(factory));
        try factory.collectKnown{gas: 3_000_000}(asset, fresh, known, CALL_GAS) {}
        catch {
            undone = vm.getRecordedLogs().length;
        }
        vm.revertToState(snapshot);
        vm.recordLogs();
        vm.prank(STRANGER);
        factory.sweepKnown{gas: 6_000_000}(asset, fresh, known, CALL_GAS);
        Vm.Log[] memory all = vm.getRecordedLogs();
        logs = new Vm.Log[](all.length - undone);
        for (uint256 i = 0; i < logs.length; ++i) {
            logs[i] = all[undone + i];
        }
    }

    /// @dev Sum of what the factory told as swept.
    function _told(Vm.Log[] memory logs) private view returns (uint256 sum) {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(factory)) continue;
            if (logs[i].topics[0] == IDepositFactory.Swept.selector) {
                sum += abi.decode(logs[i].data, (uint256));
            }
        }
    }

    function testFuzz_KnownAmountsArriveAndAreTold(uint64 seed, uint8 size, uint8 fresh) public {
        uint256 n = size % 30 + 1;
        bytes32[] memory known = new bytes32[](n);
        uint256 total = 0;
        for (uint256 i = 0; i < n; ++i) {
            bytes32 salt = bytes32(uint256(uint128(uint256(keccak256(abi.encode(seed, i))))));
            uint256 amount = uint256(seed) + i + 1;
            token.mint(factory.depositAddress(salt), amount);
            known[i] = _word(amount, salt);
            total += amount;
            if (i >= fresh % (n + 1)) factory.deploy(salt);
        }
        Vm.Log[] memory logs = _sweep(address(token), fresh % (n + 1), known);
        eq(token.balanceOf(treasury), total, "arrived");
        eq(count(logs, IDepositFactory.Swept.selector), n, "one Swept each");
        eq(_told(logs), total, "told");
        eq(logs[1].topics[1], bytes32(uint256(uint128(uint256(known[0])))), "salt");
        eq(logs[1].topics[2], bytes32(uint256(uint160(address(token)))), "token");
    }

    /// @dev Too much, too little, a wrong hint of what is deployed, doubles, an empty address: never an untruth.
    function testFuzz_WrongHintsTellTheTruth(
        uint64 held,
        uint64 named,
        uint8 fresh,
        bool deployed,
        bool twice
    ) public {
        token.mint(factory.depositAddress(SALT), held);
        if (deployed) factory.deploy(SALT);
        bytes32[] memory known = new bytes32[](twice ? 2 : 1);
        (known[0], known[known.length - 1]) = (_word(named, SALT), _word(named, SALT));
        Vm.Log[] memory logs = _sweep(address(token), fresh % 4, known);
        uint256 arrived = token.balanceOf(treasury);
        eq(_told(logs), arrived, "told");
        eq(token.balanceOf(factory.depositAddress(SALT)), held - arrived, "the rest stays");
        yes(arrived == held || (named != 0 && arrived >= named), "at least what was named, if it was there");
        eq(count(logs, IDepositFactory.Received.selector), 0, "what left arrived");
    }

    function testFuzz_AmountsOfTwoHalvesNeverMix(uint128 amount, uint128 salt) public {
        uint256 some = uint256(amount) == 0 ? 1 : amount;
        token.mint(factory.depositAddress(bytes32(uint256(salt))), some);
        bytes32[] memory known = new bytes32[](1);
        known[0] = _word(some, bytes32(uint256(salt)));
        expectSwept(bytes32(uint256(salt)), address(token), some);
        factory.sweepKnown(address(token), 1, known, CALL_GAS);
        eq(token.balanceOf(treasury), some, "arrived");
    }

    /// @dev A blocked address among others: the others arrive all the same, by the careful half.
    function testFuzz_ABlockedAddressStaysAlone(uint8 blocked) public {
        BlocklistToken coin = new BlocklistToken("Coin", "USDC", 6);
        bytes32[] memory known = new bytes32[](5);
        for (uint256 i = 0; i < 5; ++i) {
            known[i] = _word(10 ** (i + 1), bytes32(i + 1));
            coin.mint(factory.depositAddress(bytes32(i + 1)), 10 ** (i + 1));
        }
        uint256 which = blocked % 5;
        coin.setBlocked(factory.depositAddress(bytes32(which + 1)), true);
        Vm.Log[] memory logs = _sweep(address(coin), 5, known);
        eq(count(logs, IDepositFactory.Swept.selector), 4, "swept");
        eq(count(logs, IDepositFactory.SweepFailed.selector), 1, "failed");
        eq(coin.balanceOf(treasury), 111110 - 10 ** (which + 1), "the others arrived");
    }

    /// @dev Each way to fail: told as failed, once, and nothing else is told.
    function test_EveryWayToFail() public {
        for (uint8 way = 0; way < uint8(HostileToken.Way.Vanishes); ++way) {
            setUp();
            HostileToken hostile = new HostileToken(HostileToken.Way(way));
            hostile.mint(factory.depositAddress(SALT), 1000);
            Vm.Log[] memory logs = _sweep(address(hostile), 1, _one(1000));
            eq(count(logs, IDepositFactory.SweepFailed.selector), 1, "failed");
            eq(count(logs, IDepositFactory.Swept.selector), 0, "swept");
        }
    }

    function test_ATokenWithoutCodeFails() public {
        address[3] memory none = [address(0), address(0xDEAD), address(2)];
        for (uint256 i = 0; i < 3; ++i) {
            eq(count(_sweep(none[i], 0, _one(5)), IDepositFactory.SweepFailed.selector), 1, "failed");
        }
    }

    function testFuzz_AFeeIsTold(uint96 amount) public {
        FeeToken fee = new FeeToken("Fee", "FEE", 18);
        uint256 some = uint256(amount) + 2;
        fee.mint(factory.depositAddress(SALT), some);
        expectSwept(SALT, address(fee), some);
        vm.expectEmit(true, true, true, true, address(factory));
        emit IDepositFactory.Received(SALT, address(fee), some - (some + 99) / 100);
        factory.sweepKnown(address(fee), 1, _one(some), CALL_GAS);
    }

    function testFuzz_TooLittleGasNeverLooksLikeAFailure(uint256 gas_) public {
        gas_ = bound(gas_, 40_000, 1_300_000);
        SandboxToken[2] memory both = [token, SandboxToken(address(new DearToken()))];
        for (uint256 i = 0; i < 2; ++i) {
            both[i].mint(factory.depositAddress(SALT), 500);
            try factory.sweepKnown{gas: gas_}(address(both[i]), 1 - i, _one(500), 2_000_000) {
                eq(both[i].balanceOf(treasury), 500, "swept");
            } catch {
                eq(both[i].balanceOf(treasury), 0, "nothing happened");
            }
        }
    }

    function test_NoSweepWithoutATreasury() public {
        DepositFactory empty = new DepositFactory(owner);
        vm.expectRevert(abi.encodeWithSelector(IDepositFactory.TreasuryNotSet.selector));
        empty.sweepKnown(address(token), 0, _one(1), CALL_GAS);
    }

    function testFuzz_NobodyCallsTheHalves(address sender) public {
        vm.assume(sender != address(factory));
        token.mint(factory.depositAddress(SALT), 500);
        vm.expectRevert(abi.encodeWithSelector(IDepositFactory.OnlyItself.selector));
        vm.prank(sender);
        factory.collectKnown(address(token), 1, _one(500), CALL_GAS);
        vm.expectRevert(abi.encodeWithSelector(IDepositFactory.OnlyItself.selector));
        vm.prank(sender);
        factory.sweepSalts(address(token), 1, _one(0), CALL_GAS);
    }

    /// @dev In the middle of it: a change of the treasury (delay and proof in order) undoes the quick half and is
    /// refused in the careful one; a sweep of the same token too; one of another token is one of its own.
    function test_ReentranceChangesNothing() public {
        address next = vm.addr(2);
        propose(next);
        vm.warp(block.timestamp + 48 hours);
        bytes memory proof = signed(2, factory.treasuryDigest(next));
        IDepositFactory.Batch[] memory again = new IDepositFactory.Batch[](1);
        again[0] = batch(address(token), 0, bytes32("other"));
        bytes[4] memory calls = [
            abi.encodeCall(factory.setTreasury, (next, proof)),
            abi.encodeCall(factory.sweep, (again, CALL_GAS)),
            abi.encodeCall(factory.sweepKnown, (address(token), 0, _one(500), CALL_GAS)),
            abi.encodeCall(factory.collectKnown, (address(token), 0, _one(500), CALL_GAS))
        ];
        token.mint(factory.deploy(SALT), 500); // so that the quick half would go through
        token.mint(factory.depositAddress(bytes32("other")), 500);
        for (uint256 i = 0; i < calls.length; ++i) {
            HostileToken hostile = new HostileToken(HostileToken.Way.Reenters);
            hostile.mint(factory.depositAddress(SALT), 1000);
            hostile.arm(address(factory), calls[i]);
            uint256 before = token.balanceOf(treasury);
            Vm.Log[] memory logs = _sweep(address(hostile), 0, _one(1000));
            eq(hostile.balanceOf(treasury), 1000, "the treasury in force was paid");
            eq(_told(logs), 1000 + token.balanceOf(treasury) - before, "what is told is what happened");
            eq(factory.treasury(), treasury, "unchanged");
        }
    }

    /// @dev The same token re-entered: each unit is told once.
    function test_ASweepOfTheSameTokenInsideIsToldOnce() public {
        HostileToken hostile = new HostileToken(HostileToken.Way.Reenters);
        hostile.mint(factory.depositAddress(SALT), 1000);
        hostile.mint(factory.depositAddress(bytes32("other")), 50);
        IDepositFactory.Batch[] memory again = new IDepositFactory.Batch[](1);
        again[0] = batch(address(hostile), 0, bytes32("other"));
        hostile.arm(address(factory), abi.encodeCall(factory.sweep, (again, CALL_GAS)));
        Vm.Log[] memory logs = _sweep(address(hostile), 1, _one(1000));
        eq(_told(logs), hostile.balanceOf(treasury), "told once");
    }
}
