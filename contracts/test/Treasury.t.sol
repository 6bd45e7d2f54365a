// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {DepositFactory} from "../src/DepositFactory.sol";
import {IDepositFactory} from "../src/IDepositFactory.sol";
import {FactoryBase} from "./FactoryBase.sol";
import {ContractTreasury} from "./Hostile.sol";

/// @dev Who decides where sweeps pay, how, and how long ahead everybody sees it.
contract TreasuryTest is FactoryBase {
    bytes32 private constant SALT = bytes32("deposit");
    uint256 private constant NEXT_KEY = 0x2E47;
    address private next = vm.addr(NEXT_KEY);

    function _proof() private view returns (bytes memory) {
        return signed(NEXT_KEY, factory.treasuryDigest(next));
    }

    function test_NoSweepWithoutATreasury() public {
        DepositFactory empty = new DepositFactory(owner);
        eq(empty.treasury(), address(0), "empty after deployment");
        vm.expectRevert(abi.encodeWithSelector(IDepositFactory.TreasuryNotSet.selector));
        empty.sweep(new IDepositFactory.Batch[](0), CALL_GAS);
    }

    function test_FirstTreasuryNeedsNoDelayButProof() public {
        DepositFactory empty = new DepositFactory(owner);
        vm.prank(owner);
        empty.proposeTreasury(next);
        vm.expectRevert(abi.encodeWithSelector(IDepositFactory.TreasuryNotProven.selector, next));
        empty.setTreasury(next, "");
        vm.expectRevert(abi.encodeWithSelector(IDepositFactory.TreasuryNotProven.selector, next));
        vm.prank(owner);
        empty.setTreasury(next, ""); // not even the owner can do without
        empty.setTreasury(next, signed(NEXT_KEY, empty.treasuryDigest(next)));
        eq(empty.treasury(), next, "set");
    }

    function test_AContractProvesItselfByCalling() public {
        DepositFactory empty = new DepositFactory(owner);
        ContractTreasury safe = new ContractTreasury();
        vm.expectRevert(
            abi.encodeWithSelector(IDepositFactory.TreasuryNotProposed.selector, address(safe), address(0))
        );
        safe.accept(empty); // control alone is not enough: the owner names it
        vm.prank(owner);
        empty.proposeTreasury(address(safe));
        safe.accept(empty);
        eq(empty.treasury(), address(safe), "set");
    }

    function testFuzz_NobodyElsesSignatureProves(uint256 key, uint64 chain, address other) public {
        key = bound(key, 1, type(uint128).max);
        vm.assume(key != NEXT_KEY && other != next && chain != block.chainid && chain != 0);
        DepositFactory twin = new DepositFactory(owner);
        propose(next);
        vm.warp(block.timestamp + 48 hours);
        bytes32 digest = factory.treasuryDigest(next);
        vm.chainId(chain);
        bytes32 elsewhere = factory.treasuryDigest(next);
        vm.chainId(31337);
        bytes[4] memory wrong = [
            signed(key, digest), // another key
            signed(NEXT_KEY, elsewhere), // another network
            signed(NEXT_KEY, twin.treasuryDigest(next)), // another factory
            signed(NEXT_KEY, factory.treasuryDigest(other)) // another treasury
        ];
        for (uint256 i = 0; i < wrong.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IDepositFactory.TreasuryNotProven.selector, next));
            factory.setTreasury(next, wrong[i]);
        }
        factory.setTreasury(next, _proof());
        eq(factory.treasury(), next, "the right one is accepted");
    }

    function testFuzz_TheDigestIsEip712(address candidate) public view {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Bezant DepositFactory"),
                keccak256("1"),
                block.chainid,
                address(factory)
            )
        );
        bytes32 message = keccak256(abi.encode(keccak256("Treasury(address treasury)"), candidate));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domain, message));
        eq(factory.treasuryDigest(candidate), digest, "digest");
    }

    function testFuzz_OnlyTheOwnerProposesAndCancels(address sender) public {
        vm.assume(sender != owner);
        bytes memory refusal = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, sender);
        vm.expectRevert(refusal);
        vm.prank(sender);
        factory.proposeTreasury(sender);
        propose(next);
        vm.expectRevert(refusal);
        vm.prank(sender);
        factory.cancelTreasury();
    }

    /// @dev Told 48 hours ahead, on chain and by an event; until it is set, sweeps pay the old one.
    function testFuzz_AChangeIsSeen48HoursAhead(uint32 early, uint32 late) public {
        uint256 start = block.timestamp;
        uint256 wait = bound(early, 0, 48 hours - 1);
        vm.expectEmit(true, true, true, true, address(factory));
        emit IDepositFactory.TreasuryProposed(next, start + 48 hours);
        propose(next);
        eq(factory.proposedTreasury(), next, "visible");
        eq(factory.effectiveFrom(), start + 48 hours, "since when");
        vm.warp(start + wait);
        bytes memory proof = _proof();
        vm.expectRevert(
            abi.encodeWithSelector(IDepositFactory.TreasuryTooEarly.selector, start + 48 hours, start + wait)
        );
        factory.setTreasury(next, proof);
        vm.warp(start + 48 hours + late);
        vm.deal(factory.depositAddress(SALT), 1 ether);
        sweep(ETHER, SALT);
        eq(treasury.balance, 1 ether, "the old one is in force until the change");
        vm.expectEmit(true, true, true, true, address(factory));
        emit IDepositFactory.TreasuryChanged(treasury, next);
        factory.setTreasury(next, proof);
        vm.deal(factory.depositAddress(SALT), 2 ether);
        sweep(ETHER, SALT);
        eq(next.balance, 2 ether, "the new one from then on");
        eq(treasury.balance, 1 ether, "the old one no more");
    }

    function test_AProposalIsUsedOnce() public {
        propose(next);
        vm.warp(block.timestamp + 48 hours);
        factory.setTreasury(next, _proof());
        eq(factory.proposedTreasury(), address(0), "gone");
        eq(factory.effectiveFrom(), 0, "gone");
        bytes memory proof = _proof();
        vm.expectRevert(
            abi.encodeWithSelector(IDepositFactory.TreasuryNotProposed.selector, next, address(0))
        );
        factory.setTreasury(next, proof);
    }

    function test_AnotherProposalStartsTheDelayAnew() public {
        propose(vm.addr(9));
        vm.warp(block.timestamp + 48 hours);
        propose(next);
        bytes memory proof = _proof();
        bytes memory early = abi.encodeWithSelector(
            IDepositFactory.TreasuryTooEarly.selector, block.timestamp + 48 hours, block.timestamp
        );
        vm.expectRevert(early);
        factory.setTreasury(next, proof);
        bytes memory former = signed(9, factory.treasuryDigest(vm.addr(9)));
        address first = vm.addr(9);
        vm.expectRevert(abi.encodeWithSelector(IDepositFactory.TreasuryNotProposed.selector, first, next));
        factory.setTreasury(first, former);
    }

    function test_TheOwnerCancels() public {
        propose(next);
        vm.expectEmit(true, true, true, true, address(factory));
        emit IDepositFactory.TreasuryProposalCancelled(next);
        vm.prank(owner);
        factory.cancelTreasury();
        vm.warp(block.timestamp + 48 hours);
        bytes memory proof = _proof();
        vm.expectRevert(
            abi.encodeWithSelector(IDepositFactory.TreasuryNotProposed.selector, next, address(0))
        );
        factory.setTreasury(next, proof);
        vm.expectRevert(
            abi.encodeWithSelector(IDepositFactory.TreasuryNotProposed.selector, address(0), address(0))
        );
        vm.prank(owner);
        factory.cancelTreasury();
    }

    function test_NoTreasuryIsNobody() public {
        address[2] memory nobody = [address(0), address(factory)];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IDepositFactory.TreasuryInvalid.selector, nobody[i]));
            vm.prank(owner);
            factory.proposeTreasury(nobody[i]);
        }
        vm.expectRevert(
            abi.encodeWithSelector(IDepositFactory.TreasuryNotProposed.selector, address(0), address(0))
        );
        factory.setTreasury(address(0), ""); // what a failed recovery answers proves nothing
    }

    function test_OwnershipMovesInTwoStepsAndNeverAway() public {
        vm.prank(owner);
        factory.transferOwnership(next);
        eq(factory.owner(), owner, "not before it is accepted");
        vm.prank(next);
        factory.acceptOwnership();
        eq(factory.owner(), next, "accepted");
        vm.expectRevert(abi.encodeWithSelector(IDepositFactory.OwnerRequired.selector));
        vm.prank(next);
        factory.renounceOwnership();
    }
}
