// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title The code of a deposit address
/// @notice To everybody but the factory that created it, a deposit address behaves like an account without
/// code: it accepts ETH with any data or none and returns at once, for 22 gas. So a sender who gives only the
/// 2,300 gas stipend (`transfer`, `send`) is accepted after the first sweep as before it.
/// The factory's calldata is an instruction, `target (32 bytes) . value (32 bytes) . payload`, carried out as
/// one CALL whose outcome is dropped: the factory looks at balances and believes no return value.
/// There is no storage, no SELFDESTRUCT, no DELEGATECALL and nobody else who could give an instruction.
///
/// It is written by hand because each byte costs 200 gas with every address that is swept for the first time.
/// Runtime, 47 bytes:
///
///     73 <factory> 33 18 60 2d 57     if (CALLER ^ factory != 0) goto end
///     3d 3d                           outSize 0, outOffset 0
///     60 40 36 03                     inSize = CALLDATASIZE - 64
///     80 60 40 3d 37                  CALLDATACOPY(0, 64, inSize)
///     3d                              inOffset 0
///     60 20 35 3d 35 5a f1            CALL(GAS, CALLDATALOAD(0), CALLDATALOAD(32), 0, inSize, 0, 0)
///     5b 00                           end: STOP
///
/// Init code, 47 bytes: lays the caller, who is the factory, into that runtime and returns it. It names no
/// factory, so its hash is one constant for every factory on every network.
///
///     33 60 15 52                     MSTORE(21, CALLER): the address lies at 33..52
///     60 73 60 20 53                  MSTORE8(32, PUSH20)
///     60 1a 60 15 60 35 39            CODECOPY(53, 21, 26): the runtime behind the address
///     60 2f 60 20 f3                  RETURN(32, 47)
library DepositProxy {
    bytes internal constant INIT_CODE =
        hex"33601552_6073602053_601a6015603539_602f6020f3"
        hex"3318602d57_3d3d_60403603_8060403d37_3d_6020353d355af1_5b00";

    /// @dev keccak256(INIT_CODE), written out because a constant expression over bytes is computed at each use.
    bytes32 internal constant INIT_CODE_HASH = 0x46a202d1c5b764be2d375829d63449c7c20d99feb0da418642c82c27142c4a9c;
}
