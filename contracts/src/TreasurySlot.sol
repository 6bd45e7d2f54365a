// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {IDepositFactory} from "./IDepositFactory.sol";

/// @title Where sweeps pay, and how that changes
/// @dev Three have to agree: the owner names the next treasury, 48 hours pass (not the first time), and the
/// treasury proves that it is under control on this network.
abstract contract TreasurySlot is IDepositFactory, Ownable2Step {
    /// @notice Time between the proposal of a new treasury and the earliest moment it can be set.
    uint256 public constant TREASURY_DELAY = 48 hours;

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant TREASURY_TYPEHASH = keccak256("Treasury(address treasury)");

    /// @inheritdoc IDepositFactory
    address public override treasury;
    /// @dev Shares the treasury's slot, which a sweep reads anyway.
    bool internal sweeping;
    /// @inheritdoc IDepositFactory
    address public override proposedTreasury;
    uint64 private proposedFrom;

    modifier outsideSweep() {
        if (sweeping) revert Reentered();
        _;
    }

    /// @inheritdoc IDepositFactory
    function proposeTreasury(address candidate) external override onlyOwner {
        if (candidate == address(0) || candidate == address(this)) revert TreasuryInvalid(candidate);
        uint64 from = uint64(block.timestamp);
        if (treasury != address(0)) from += uint64(TREASURY_DELAY); // forge-lint: disable-line(unsafe-typecast)
        proposedTreasury = candidate;
        proposedFrom = from;
        emit TreasuryProposed(candidate, from);
    }

    /// @inheritdoc IDepositFactory
    function cancelTreasury() external override onlyOwner {
        address candidate = proposedTreasury;
        if (candidate == address(0)) revert TreasuryNotProposed(address(0), address(0));
        proposedTreasury = address(0);
        proposedFrom = 0;
        emit TreasuryProposalCancelled(candidate);
    }

    /// @inheritdoc IDepositFactory
    /// @dev Not inside a sweep: a hostile token could otherwise have the rest paid to a treasury that is no
    /// longer in force.
    function setTreasury(address candidate, bytes calldata signature) external override outsideSweep {
        address proposed = proposedTreasury;
        if (candidate != proposed || candidate == address(0)) {
            revert TreasuryNotProposed(candidate, proposed);
        }
        if (block.timestamp < proposedFrom) revert TreasuryTooEarly(proposedFrom, block.timestamp);
        if (msg.sender != candidate) {
            // With an error the signer is zero, and a candidate never is: the comparison covers it.
            // slither-disable-next-line unused-return
            (address signer,,) = ECDSA.tryRecover(treasuryDigest(candidate), signature);
            if (signer != candidate) revert TreasuryNotProven(candidate);
        }
        address previous = treasury;
        treasury = candidate;
        proposedTreasury = address(0);
        proposedFrom = 0;
        emit TreasuryChanged(previous, candidate);
    }

    /// @notice Refused: see `OwnerRequired`.
    function renounceOwnership() public pure override {
        revert OwnerRequired();
    }

    /// @inheritdoc IDepositFactory
    function effectiveFrom() external view override returns (uint256) {
        return proposedFrom;
    }

    /// @inheritdoc IDepositFactory
    function treasuryDigest(address candidate) public view override returns (bytes32) {
        // built at each call, not kept: a fork with another chain id must not accept the old signatures
        bytes32 domain = keccak256(
            abi.encode(
                DOMAIN_TYPEHASH,
                keccak256("Bezant DepositFactory"),
                keccak256("1"),
                block.chainid,
                address(this)
            )
        );
        return MessageHashUtils.toTypedDataHash(domain, keccak256(abi.encode(TREASURY_TYPEHASH, candidate)));
    }
}
