// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {DepositProxy} from "./DepositProxy.sol";
import {IDepositFactory} from "./IDepositFactory.sol";
import {TreasurySlot} from "./TreasurySlot.sol";

/// @title Deposit addresses: where they lie, how they come to be, and what a sweep asks and tells of them
abstract contract DepositAddresses is TreasurySlot {
    /// @notice Hash of a deposit address's init code, the same for every salt, factory and network.
    bytes32 public constant INIT_CODE_HASH = DepositProxy.INIT_CODE_HASH;

    /// @inheritdoc IDepositFactory
    function deploy(bytes32 salt) external override returns (address deposit) {
        bytes memory initCode = DepositProxy.INIT_CODE;
        assembly ("memory-safe") {
            deposit := create2(0, add(initCode, 0x20), mload(initCode), salt)
        }
        if (deposit == address(0)) revert AlreadyDeployed(salt);
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

    /// @dev Memory for a sweep of a token, written once for a token; salt, address and amount change in it:
    ///   0x00  0xff . factory . salt . init code hash    what a deposit address is the hash of (85 bytes)
    ///   0x7c  balanceOf(deposit)
    ///   0xa0  token . 0 . 68 . transfer(to, amount)     the instruction, see DepositProxy
    function _frame(address token, address to) internal view returns (uint256 frame) {
        bytes32 initCodeHash = DepositProxy.INIT_CODE_HASH;
        assembly ("memory-safe") {
            frame := mload(0x40)
            mstore(0x40, add(frame, 0x160))
            mstore(frame, shl(248, 0xff))
            mstore(add(frame, 0x01), shl(96, address()))
            mstore(add(frame, 0x35), initCodeHash)
            mstore(add(frame, 0x60), 0x70a08231) // balanceOf(address)
            mstore(add(frame, 0xa0), token)
            mstore(add(frame, 0xc0), 0)
            mstore(add(frame, 0xe0), 68)
            mstore(add(frame, 0x100), shl(224, 0xa9059cbb)) // transfer(address,uint256)
            mstore(add(frame, 0x104), to)
        }
    }

    /// @dev After a failure. EIP-150 gives a call at most 63/64 of what is there. Gas only shrinks, so if this much is
    /// there now, every call before could have had all of `callGas`; with less, one may have failed because the
    /// transaction had too little, and an estimate must not take that for success. What a failed call gave back
    /// proves nothing: each frame of it gives back a 64th.
    function _requireNotStarved(uint256 callGas) internal view {
        if (gasleft() < callGas + callGas / 63) revert InsufficientGas(callGas, gasleft());
    }

    /// @dev Copies one word of the answer at most, so an answer of any length costs nothing here. `known` is
    /// false if the token reverts, has no code, or answers with less than a word.
    function _balanceOf(address token, address account, uint256 callGas)
        internal
        view
        returns (bool known, uint256 held)
    {
        assembly ("memory-safe") {
            mstore(0x00, 0x70a08231) // balanceOf(address)
            mstore(0x20, account)
            known := and(gt(returndatasize(), 0x1f), staticcall(callGas, token, 0x1c, 0x24, 0x00, 0x20))
            held := mload(0x00)
        }
    }
}
