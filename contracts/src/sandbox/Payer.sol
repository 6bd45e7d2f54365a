// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title Pays as contracts do: by inner calls, several at once, or in a call that is undone
contract Payer {
    using SafeERC20 for IERC20;

    error PaymentFailed(address to, uint256 amount);
    error UndoneOnPurpose(address to, uint256 amount);
    error OnlyItself();
    error LengthsDiffer(uint256 recipients, uint256 amounts);
    error ValueDiffers(uint256 sent, uint256 needed);

    event Undone(address indexed to, uint256 amount);

    /// @notice Hands the ETH on in an inner call, as a Safe or an exchange's hot wallet does.
    function pay(address payable to) external payable {
        _pay(to, msg.value);
    }

    /// @notice Hands it on with the stipend of 2,300 gas only, as `transfer` in old contracts does.
    function payWithStipend(address payable to) external payable {
        if (!to.send(msg.value)) revert PaymentFailed(to, msg.value);
    }

    /// @notice The transaction succeeds, but the inner call that paid is undone; the ETH goes back to the sender.
    function tryPayAndRevert(address payable to) external payable {
        try this.payThenRevert{value: msg.value}(to) {}
        catch {
            emit Undone(to, msg.value);
        }
        _pay(payable(msg.sender), msg.value);
    }

    /// @dev The frame that `tryPayAndRevert` opens: pays, then undoes itself.
    function payThenRevert(address payable to) external payable {
        if (msg.sender != address(this)) revert OnlyItself();
        _pay(to, msg.value);
        revert UndoneOnPurpose(to, msg.value);
    }

    /// @notice Pays several in one transaction; the amounts must add up to the value sent.
    function payMany(address payable[] calldata to, uint256[] calldata amounts) external payable {
        if (to.length != amounts.length) revert LengthsDiffer(to.length, amounts.length);
        uint256 needed = 0;
        for (uint256 i = 0; i < to.length; ++i) {
            needed += amounts[i];
            _pay(to[i], amounts[i]);
        }
        if (needed != msg.value) revert ValueDiffers(msg.value, needed);
    }

    /// @notice Two transfers of one token in one transaction, from the caller's balance (needs its allowance).
    function payTwice(IERC20 token, address to, uint256 first, uint256 second) external {
        token.safeTransferFrom(msg.sender, to, first);
        token.safeTransferFrom(msg.sender, to, second);
    }

    function _pay(address payable to, uint256 amount) private {
        (bool paid,) = to.call{value: amount}("");
        if (!paid) revert PaymentFailed(to, amount);
    }
}
