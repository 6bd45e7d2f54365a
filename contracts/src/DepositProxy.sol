// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title The code of a deposit address
/// @notice To everybody but the factory that created it, a deposit address behaves like an account without
/// code: it accepts ETH with any data or none and returns at once, for 22 gas. So a sender who gives only the
/// 2,300 gas stipend (`transfer`, `send`) is accepted after the first sweep as before it.
/// The factory's calldata is an instruction, `target . value . size . payload` (three words, then `size` bytes),
/// carried out as one CALL whose outcome is dropped: the factory looks at balances and believes no return value.
/// There is no storage, no SELFDESTRUCT, no DELEGATECALL and nobody else who could give an instruction.
///
/// It is written by hand because each byte costs 200 gas with every address that is swept for the first time.
/// Runtime, 45 bytes:
///
///     73 <factory> 33 18 60 2c 57     if (CALLER ^ factory != 0) goto end
///     36 60 60 3d 37                  CALLDATACOPY(0, 96, CALLDATASIZE): the payload, then zeros
///     3d 3d                           outSize 0, outOffset 0
///     60 40 35 3d                     inSize = CALLDATALOAD(64), inOffset 0
///     60 20 35 3d 35 5a f1            CALL(GAS, CALLDATALOAD(0), CALLDATALOAD(32), 0, inSize, 0, 0)
///     5b                              end: behind the code's end stands STOP (yellow paper, 9.4)
///
/// Init code, 45 bytes: lays the caller, who is the factory, into that runtime and returns it. It names no
/// factory, so its hash is one constant for every factory on every network.
///
///     33 60 15 52                     MSTORE(21, CALLER): the address lies at 33..52
///     60 73 60 20 53                  MSTORE8(32, PUSH20)
///     60 18 60 15 60 35 39            CODECOPY(53, 21, 24): the runtime behind the address
///     60 2d 60 20 f3                  RETURN(32, 45)
library DepositProxy {
    bytes internal constant INIT_CODE = hex"33601552607360205360186015603539602d6020f3"
        hex"3318602c573660603d373d3d6040353d6020353d355af15b";

    /// @dev keccak256(INIT_CODE), written out because a constant expression over bytes is computed at each use.
    bytes32 internal constant INIT_CODE_HASH =
        0xaaf3d4f7026b4e3cecc8341c4c4688061ed0dcb00f2faadd4905fa7f7b47ff1c;
}
