// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {DepositFactory} from "../src/DepositFactory.sol";
import {IDepositFactory} from "../src/IDepositFactory.sol";
import {SandboxToken} from "../src/sandbox/SandboxToken.sol";
import {Base, Vm} from "./Base.sol";

/// @dev A factory with owner and treasury (an account whose key is known), and short ways to sweep.
abstract contract FactoryBase is Base {
    uint256 internal constant TREASURY_KEY = 0xBE2A;
    uint256 internal constant CALL_GAS = 300_000;
    address internal constant ETHER = address(0);
    address internal constant STRANGER = address(0xBAD);

    address internal owner = address(0x0511E);
    address internal treasury = vm.addr(TREASURY_KEY);
    DepositFactory internal factory;
    SandboxToken internal token;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        factory = new DepositFactory(owner);
        token = new SandboxToken("Dollar", "USD", 6);
        propose(treasury);
        factory.setTreasury(treasury, signed(TREASURY_KEY, factory.treasuryDigest(treasury)));
    }

    function propose(address candidate) internal {
        vm.prank(owner);
        factory.proposeTreasury(candidate);
    }

    function signed(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function batch(address asset, uint256 fresh, bytes32 salt)
        internal
        pure
        returns (IDepositFactory.Batch memory)
    {
        bytes32[] memory salts = new bytes32[](1);
        salts[0] = salt;
        return IDepositFactory.Batch(asset, fresh, salts);
    }

    function sweepAs(address sender, address asset, bytes32 salt) internal {
        IDepositFactory.Batch[] memory batches = new IDepositFactory.Batch[](1);
        batches[0] = batch(asset, 0, salt);
        vm.prank(sender);
        factory.sweep(batches, CALL_GAS);
    }

    function sweep(address asset, bytes32 salt) internal {
        sweepAs(STRANGER, asset, salt);
    }

    /// @dev How often the factory told `topic` in these logs.
    function count(Vm.Log[] memory logs, bytes32 topic) internal view returns (uint256 found) {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == address(factory) && logs[i].topics[0] == topic) ++found;
        }
    }

    function expectSwept(bytes32 salt, address asset, uint256 amount) internal {
        vm.expectEmit(true, true, true, true, address(factory));
        emit IDepositFactory.Swept(salt, asset, amount);
    }
}
