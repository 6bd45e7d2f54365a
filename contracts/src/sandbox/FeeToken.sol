// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {SandboxToken} from "./SandboxToken.sol";

/// @title A token that keeps 1 % of every transfer (rounded up): less arrives than was sent
contract FeeToken is SandboxToken {
    address public constant FEE_COLLECTOR = address(0xFEE);

    constructor(string memory name_, string memory symbol_, uint8 decimals_)
        SandboxToken(name_, symbol_, decimals_)
    {}

    function _update(address from, address to, uint256 value) internal override {
        if (from == address(0) || to == address(0)) {
            super._update(from, to, value);
            return;
        }
        uint256 fee = (value + 99) / 100;
        super._update(from, FEE_COLLECTOR, fee);
        super._update(from, to, value - fee);
    }
}
