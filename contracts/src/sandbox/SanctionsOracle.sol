// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title The Chainalysis sanctions oracle's interface, with a list that anybody may change: for the sandbox
contract SanctionsOracle {
    mapping(address account => bool) public isSanctioned;

    event SanctionedAddressesAdded(address[] addrs);
    event SanctionedAddressesRemoved(address[] addrs);

    /// @notice From here on `isSanctioned` is true for these.
    function addToSanctionsList(address[] calldata newSanctions) external {
        for (uint256 i = 0; i < newSanctions.length; ++i) {
            isSanctioned[newSanctions[i]] = true;
        }
        emit SanctionedAddressesAdded(newSanctions);
    }

    /// @notice And no longer for these.
    function removeFromSanctionsList(address[] calldata removeSanctions) external {
        for (uint256 i = 0; i < removeSanctions.length; ++i) {
            isSanctioned[removeSanctions[i]] = false;
        }
        emit SanctionedAddressesRemoved(removeSanctions);
    }
}
