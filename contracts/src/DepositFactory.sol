// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {DepositProxy} from "./DepositProxy.sol";
import {IDepositFactory} from "./IDepositFactory.sol";

/// @title DepositFactory
/// @dev Deployed through the deterministic deployer with the owner as only argument: the same owner gets the
/// same address on every network, and whoever deploys it first deploys it for that owner. There are no
/// immutables, so the code is the same everywhere too, and one hash proves it.
contract DepositFactory is IDepositFactory, Ownable2Step {
    /// @notice Time between the proposal of a new treasury and the earliest moment it can be set.
    uint256 public constant TREASURY_DELAY = 48 hours;

    /// @notice Hash of a deposit address's init code, the same for every salt, factory and network.
    bytes32 public constant INIT_CODE_HASH = DepositProxy.INIT_CODE_HASH;

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant TREASURY_TYPEHASH = keccak256("Treasury(address treasury)");

    /// @inheritdoc IDepositFactory
    address public override treasury;
    /// @dev Shares the treasury's slot, which a sweep reads anyway.
    bool private sweeping;
    /// @inheritdoc IDepositFactory
    address public override proposedTreasury;
    uint64 private proposedFrom;

    /// @dev What stays the same over one sweep, and what the treasury held of the token at the last look.
    struct Sweep {
        address token;
        address to;
        uint256 callGas;
        bytes initCode;
        bool known;
        uint256 atTreasury;
    }

    constructor(address owner_) Ownable(owner_) {}

    modifier outsideSweep() {
        if (sweeping) revert Reentered();
        _;
    }

    /// @inheritdoc IDepositFactory
    function sweep(Batch[] calldata batches, uint256 callGas) external override outsideSweep {
        address to = treasury;
        if (to == address(0)) revert TreasuryNotSet();
        sweeping = true;
        Sweep memory run;
        run.to = to;
        run.callGas = callGas;
        run.initCode = DepositProxy.INIT_CODE;
        for (uint256 i = 0; i < batches.length; ++i) {
            run.token = batches[i].token;
            if (run.token == address(0)) _sweepEther(run, batches[i].salts);
            else _sweepToken(run, batches[i].salts);
        }
        sweeping = false;
    }

    /// @inheritdoc IDepositFactory
    function proposeTreasury(address candidate) external override onlyOwner {
        if (candidate == address(0) || candidate == address(this)) revert TreasuryInvalid(candidate);
        uint64 from = uint64(block.timestamp);
        if (treasury != address(0)) from += uint64(TREASURY_DELAY);
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
        if (candidate != proposed || candidate == address(0)) revert TreasuryNotProposed(candidate, proposed);
        if (block.timestamp < proposedFrom) revert TreasuryTooEarly(proposedFrom, block.timestamp);
        if (msg.sender != candidate) {
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
                DOMAIN_TYPEHASH, keccak256("Bezant DepositFactory"), keccak256("1"), block.chainid, address(this)
            )
        );
        return MessageHashUtils.toTypedDataHash(domain, keccak256(abi.encode(TREASURY_TYPEHASH, candidate)));
    }

    /// @inheritdoc IDepositFactory
    function depositAddress(bytes32 salt) public view override returns (address deposit) {
        bytes32 initCodeHash = DepositProxy.INIT_CODE_HASH;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, shl(248, 0xff))
            mstore(add(free, 0x01), shl(96, address()))
            mstore(add(free, 0x15), salt)
            mstore(add(free, 0x35), initCodeHash)
            deposit := and(keccak256(free, 0x55), 0xffffffffffffffffffffffffffffffffffffffff)
        }
    }

    function _sweepEther(Sweep memory run, bytes32[] calldata salts) private {
        for (uint256 i = 0; i < salts.length; ++i) {
            bytes32 salt = salts[i];
            address deposit = depositAddress(salt);
            uint256 held = deposit.balance;
            if (held == 0) continue;
            _deploy(run, deposit, salt);
            _instructEther(run, deposit, held);
            uint256 rest = deposit.balance;
            uint256 left = rest < held ? held - rest : 0;
            _report(run, salt, left, left);
        }
    }

    /// @dev Balances decide, no return value is believed. The treasury's balance after one address is the one
    /// before the next, so an ordinary token costs one look at it for each address; the deposit address is
    /// looked at again only if something else arrived than it held.
    function _sweepToken(Sweep memory run, bytes32[] calldata salts) private {
        (run.known, run.atTreasury) = _balanceOf(run, run.to);
        for (uint256 i = 0; i < salts.length; ++i) {
            bytes32 salt = salts[i];
            address deposit = depositAddress(salt);
            uint256 left = 0;
            uint256 arrived = 0;
            if (run.known) {
                (bool known, uint256 held) = _balanceOf(run, deposit);
                if (known) {
                    if (held == 0) continue;
                    _deploy(run, deposit, salt);
                    (left, arrived) = _move(run, deposit, held);
                }
            }
            _report(run, salt, left, arrived);
        }
    }

    /// @dev Has `deposit` send `held` of the token, and measures what left it and what arrived.
    function _move(Sweep memory run, address deposit, uint256 held)
        private
        returns (uint256 left, uint256 arrived)
    {
        uint256 before = run.atTreasury;
        _instructTransfer(run, deposit, held);
        (run.known, run.atTreasury) = _balanceOf(run, run.to);
        if (!run.known) return (0, 0);
        if (run.atTreasury > before) arrived = run.atTreasury - before;
        if (arrived == held) return (held, held);
        (bool known, uint256 rest) = _balanceOf(run, deposit);
        if (known && rest < held) left = held - rest;
    }

    function _report(Sweep memory run, bytes32 salt, uint256 left, uint256 arrived) private {
        if (left == 0) {
            // EIP-150 gives a call at most 63/64 of what is there: with less than this left, it may have failed
            // because the transaction had too little gas, and an estimate must not take that for success
            if (gasleft() < run.callGas / 63) revert InsufficientGas(run.callGas, gasleft());
            emit SweepFailed(salt, run.token);
        } else {
            emit Swept(salt, run.token, left);
            if (arrived != left) emit Received(salt, run.token, arrived);
        }
    }

    function _deploy(Sweep memory run, address deposit, bytes32 salt) private {
        if (deposit.code.length != 0) return;
        bytes memory initCode = run.initCode;
        address made;
        assembly ("memory-safe") {
            made := create2(0, add(initCode, 0x20), mload(initCode), salt)
        }
        if (made != deposit) revert DeploymentFailed(salt);
    }

    /// @dev Instruction `to . amount . (nothing)`, see DepositProxy.
    function _instructEther(Sweep memory run, address deposit, uint256 amount) private {
        address to = run.to;
        uint256 callGas = run.callGas;
        assembly ("memory-safe") {
            mstore(0x00, to)
            mstore(0x20, amount)
            pop(call(callGas, deposit, 0, 0x00, 0x40, 0x00, 0x00))
        }
    }

    /// @dev Instruction `token . 0 . transfer(to, amount)`, see DepositProxy.
    function _instructTransfer(Sweep memory run, address deposit, uint256 amount) private {
        address token = run.token;
        address to = run.to;
        uint256 callGas = run.callGas;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, token)
            mstore(add(free, 0x20), 0)
            mstore(add(free, 0x40), shl(224, 0xa9059cbb)) // transfer(address,uint256)
            mstore(add(free, 0x44), to)
            mstore(add(free, 0x64), amount)
            pop(call(callGas, deposit, 0, free, 0x84, 0x00, 0x00))
        }
    }

    /// @dev Copies one word of the answer at most, so an answer of any length costs nothing here. `known` is
    /// false if the token reverts, has no code, or answers with less than a word.
    function _balanceOf(Sweep memory run, address account) private view returns (bool known, uint256 held) {
        address token = run.token;
        uint256 callGas = run.callGas;
        assembly ("memory-safe") {
            mstore(0x00, 0x70a08231) // balanceOf(address)
            mstore(0x20, account)
            known := and(gt(returndatasize(), 0x1f), staticcall(callGas, token, 0x1c, 0x24, 0x00, 0x20))
            held := mload(0x00)
        }
    }
}
