// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {SandboxToken} from "./SandboxToken.sol";

/// @title A token that can block an address, as USDC and USDT can; here anybody may block
contract BlocklistToken is SandboxToken {
    mapping(address account => bool) public blocked;

    error Blocked(address account);

    event BlockedSet(address indexed account, bool blocked);

    constructor(string memory name_, string memory symbol_, uint8 decimals_)
        SandboxToken(name_, symbol_, decimals_)
    {}

    /// @notice A blocked address neither sends nor receives.
    function setBlocked(address account, bool value) external {
        blocked[account] = value;
        emit BlockedSet(account, value);
    }

    function _update(address from, address to, uint256 value) internal override {
        if (blocked[from]) revert Blocked(from);
        if (blocked[to]) revert Blocked(to);
        super._update(from, to, value);
    }
}
