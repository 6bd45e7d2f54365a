// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title Many payouts in one transaction, each exact or not at all
/// @notice A payment arrives with exactly its amount or nothing of it happens; one that fails never stops the
/// others. ETH comes with the call, and what a payee refused goes back to the caller within it. Tokens go from the
/// caller to the payee directly, by the caller's allowance. So for each payment there is one event, and the events of
/// a sender add up to what left it. There is no owner, no storage, and nothing stays here.
contract Multisend {
    using SafeERC20 for IERC20;

    /// @notice `amount` base units of `token` (zero: ETH) for `to`.
    struct Payment {
        address token;
        address to;
        uint256 amount;
    }

    /// @notice Payment number `index` of the caller's list arrived: `amount` left `sender`, `amount` reached `to`.
    /// Who reads the events of a transaction must ask for its own `sender`: a payee's code could call `send` inside.
    event Sent(
        address indexed sender, uint256 indexed index, address token, address indexed to, uint256 amount
    );

    /// @notice Nothing of payment number `index` happened; ETH is back at `sender` at the end of the call.
    event Failed(
        address indexed sender, uint256 indexed index, address token, address indexed to, uint256 amount
    );

    /// @notice The ETH sent along must be what the payments in ETH add up to.
    error WrongValue(uint256 sent, uint256 needed);

    /// @notice Nothing, or to nobody, to this contract or to the caller itself: no payout.
    error PaymentInvalid(uint256 index);

    /// @notice A payment failed for want of gas, not by the payee's fault: send with a higher limit.
    error InsufficientGas(uint256 callGas, uint256 left);

    /// @notice The caller refused its own ETH.
    error RefundRefused(address sender, uint256 amount);

    /// @notice This function is a part of `send`; nobody else calls it.
    error OnlyItself();

    /// @notice Inside `send` only: another amount moved, so that payment is undone.
    error NotExact(uint256 left, uint256 arrived, uint256 amount);

    /// @notice Makes all payments, in their order.
    /// @param payments What to whom; the same payee may be there several times.
    /// @param callGas Most gas for one payment (for ETH: for the payee's code). It bounds what a hostile payee or
    /// token can burn. 100,000 suits all usual tokens and wallets.
    function send(Payment[] calldata payments, uint256 callGas) external payable {
        _check(payments);
        uint256 refused = 0;
        for (uint256 i = 0; i < payments.length; ++i) {
            Payment calldata payment = payments[i];
            bool isEther = payment.token == address(0);
            bytes memory data = isEther
                ? bytes("")
                : abi.encodeCall(
                    this.sendToken, (IERC20(payment.token), msg.sender, payment.to, payment.amount)
                );
            bool done = isEther
                ? _call(payment.to, payment.amount, data, callGas)
                : _call(address(this), 0, data, callGas);
            if (done) {
                emit Sent(msg.sender, i, payment.token, payment.to, payment.amount);
                continue;
            }
            // EIP-150 gives a call at most 63/64 of what is there, and gas only shrinks: with less than this now
            // (2,300 is what a call with value gets beside) the call may have had too little
            if (gasleft() < callGas + callGas / 63 + 2300) revert InsufficientGas(callGas, gasleft());
            if (isEther) refused += payment.amount;
            emit Failed(msg.sender, i, payment.token, payment.to, payment.amount);
        }
        if (refused != 0 && !_call(msg.sender, refused, "", gasleft())) {
            revert RefundRefused(msg.sender, refused);
        }
    }

    /// @notice One payment in a token, in a frame that is undone as a whole unless exactly `amount` left `from` and
    /// arrived at `to`. Only `send` calls it, and `from` is its caller.
    function sendToken(IERC20 token, address from, address to, uint256 amount) external {
        if (msg.sender != address(this)) revert OnlyItself();
        uint256 had = token.balanceOf(from);
        uint256 before = token.balanceOf(to);
        // Only itself calls this, with the sender of the batch as `from`.
        // slither-disable-next-line arbitrary-send-erc20
        token.safeTransferFrom(from, to, amount);
        uint256 left = had - token.balanceOf(from);
        uint256 arrived = token.balanceOf(to) - before;
        if (left != amount || arrived != amount) revert NotExact(left, arrived, amount);
    }

    /// @dev Refuses the whole list for what can only be a mistake, before anything is paid.
    function _check(Payment[] calldata payments) private view {
        uint256 needed = 0;
        for (uint256 i = 0; i < payments.length; ++i) {
            Payment calldata payment = payments[i];
            address to = payment.to;
            bool nobody = to == address(0) || to == address(this) || to == msg.sender;
            if (nobody || payment.amount == 0) revert PaymentInvalid(i);
            if (payment.token == address(0)) needed += payment.amount;
        }
        if (needed != msg.value) revert WrongValue(msg.value, needed);
    }

    /// @dev Copies nothing of the answer, so one of any length costs nothing here.
    function _call(address to, uint256 value, bytes memory data, uint256 callGas)
        private
        returns (bool done)
    {
        assembly ("memory-safe") {
            done := call(callGas, to, value, add(data, 0x20), mload(data), 0x00, 0x00)
        }
    }
}
