// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {IDepositFactory} from "./IDepositFactory.sol";
import {IERC3009} from "./IERC3009.sol";
import {IPaymentRouter} from "./IPaymentRouter.sol";

/// @title PaymentRouter
/// @dev Deployed through the deterministic deployer with the factory as only argument, so it lies at the same
/// address on every network. A quote is marked as paid before anything is called, and whatever a token answers, the
/// treasury's balance decides. Nothing here can send anything to anybody but the treasury in force.
contract PaymentRouter is IPaymentRouter, ReentrancyGuard {
    using SafeERC20 for IERC20;

    /// @notice How long the former quote key may go on at most after a change.
    uint256 public constant ROTATION = 7 days;

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant QUOTE_TYPEHASH =
        keccak256("Quote(bytes32 invoice,address asset,uint256 amount,uint256 deadline,uint256 nonce)");

    IDepositFactory private immutable _FACTORY;

    /// @inheritdoc IPaymentRouter
    address public override quoteKey;
    /// @inheritdoc IPaymentRouter
    address public override previousQuoteKey;
    uint64 private _previousUntil;
    /// @inheritdoc IPaymentRouter
    mapping(bytes32 quoteHash => bool) public override isPaid;

    constructor(IDepositFactory factory_) {
        _FACTORY = factory_;
    }

    /// @inheritdoc IPaymentRouter
    function pay(Quote calldata quote, bytes calldata signature) external payable override nonReentrant {
        if (quote.asset != address(0)) revert QuoteNotPayableThus(quote.asset, quote.amount);
        if (msg.value != quote.amount) revert WrongValue(msg.value, quote.amount);
        address to = _treasury();
        if (msg.sender == to) revert PayerIsTreasury(to);
        bytes32 hash = _use(quote, signature);
        _sendEther(to, msg.value);
        emit Paid(quote.invoice, msg.sender, address(0), msg.value, hash);
    }

    /// @inheritdoc IPaymentRouter
    function payToken(Quote calldata quote, bytes calldata signature) external override nonReentrant {
        _payByAllowance(quote, _useForToken(quote, signature));
    }

    /// @inheritdoc IPaymentRouter
    function payWithPermit(Quote calldata quote, bytes calldata signature, Permit calldata permit)
        external
        override
        nonReentrant
    {
        bytes32 hash = _useForToken(quote, signature);
        // if it fails, the allowance is there or the transfer fails: https://eips.ethereum.org/EIPS/eip-2612
        try IERC20Permit(quote.asset)
            .permit(msg.sender, address(this), quote.amount, permit.deadline, permit.v, permit.r, permit.s) {}
            catch {}
        _payByAllowance(quote, hash);
    }

    /// @inheritdoc IPaymentRouter
    function payWithAuthorization(
        Quote calldata quote,
        bytes calldata signature,
        Authorization calldata authorization
    ) external override nonReentrant {
        bytes32 hash = _useForToken(quote, signature);
        address to = _treasury();
        uint256 before = IERC20(quote.asset).balanceOf(to);
        IERC3009(quote.asset)
            .receiveWithAuthorization(
                authorization.from,
                address(this),
                quote.amount,
                authorization.validAfter,
                authorization.validBefore,
                hash,
                authorization.v,
                authorization.r,
                authorization.s
            );
        IERC20(quote.asset).safeTransfer(to, quote.amount);
        _tell(quote, hash, authorization.from, to, before);
    }

    /// @inheritdoc IPaymentRouter
    function setQuoteKey(address key, uint256 until) external override {
        if (msg.sender != Ownable(address(_FACTORY)).owner()) revert OnlyFactoryOwner(msg.sender);
        uint256 latest = block.timestamp + ROTATION;
        if (until > latest) revert RotationTooLong(until, latest);
        address previous = quoteKey;
        previousQuoteKey = previous;
        _previousUntil = uint64(until); // forge-lint: disable-line(unsafe-typecast)
        quoteKey = key;
        emit QuoteKeyChanged(previous, key, until);
    }

    /// @inheritdoc IPaymentRouter
    function flush(address asset) external override nonReentrant {
        address to = _treasury();
        uint256 held = asset == address(0) ? address(this).balance : IERC20(asset).balanceOf(address(this));
        if (asset == address(0)) _sendEther(to, held);
        else IERC20(asset).safeTransfer(to, held);
        emit Flushed(asset, held);
    }

    /// @inheritdoc IPaymentRouter
    function factory() external view override returns (address) {
        return address(_FACTORY);
    }

    /// @inheritdoc IPaymentRouter
    function previousUntil() external view override returns (uint256) {
        return _previousUntil;
    }

    /// @inheritdoc IPaymentRouter
    function quoteHash(Quote calldata quote) public view override returns (bytes32) {
        // built at each call, not kept: a fork with another chain id must not accept the old signatures
        bytes32 domain = keccak256(
            abi.encode(
                DOMAIN_TYPEHASH,
                keccak256("Bezant PaymentRouter"),
                keccak256("1"),
                block.chainid,
                address(this)
            )
        );
        bytes32 message = keccak256(
            abi.encode(QUOTE_TYPEHASH, quote.invoice, quote.asset, quote.amount, quote.deadline, quote.nonce)
        );
        return MessageHashUtils.toTypedDataHash(domain, message);
    }

    function _payByAllowance(Quote calldata quote, bytes32 hash) private {
        address to = _treasury();
        uint256 before = IERC20(quote.asset).balanceOf(to);
        IERC20(quote.asset).safeTransferFrom(msg.sender, to, quote.amount);
        _tell(quote, hash, msg.sender, to, before);
    }

    function _useForToken(Quote calldata quote, bytes calldata signature) private returns (bytes32) {
        if (quote.asset == address(0)) revert QuoteNotPayableThus(quote.asset, quote.amount);
        return _use(quote, signature);
    }

    /// @dev Marks the quote as paid, or reverts if it may not be.
    function _use(Quote calldata quote, bytes calldata signature) private returns (bytes32 hash) {
        if (quote.amount == 0) revert QuoteNotPayableThus(quote.asset, 0);
        if (block.timestamp > quote.deadline) revert QuoteExpired(quote.deadline, block.timestamp);
        hash = quoteHash(quote);
        if (isPaid[hash]) revert QuotePaid(hash);
        // The third value only says more about an error, and any error reverts.
        // slither-disable-next-line unused-return
        (address signer, ECDSA.RecoverError failed,) = ECDSA.tryRecover(hash, signature);
        bool good = signer == quoteKey || (signer == previousQuoteKey && block.timestamp <= _previousUntil);
        if (failed != ECDSA.RecoverError.NoError || !good) revert QuoteNotSigned(hash);
        isPaid[hash] = true;
    }

    function _tell(Quote calldata quote, bytes32 hash, address payer, address to, uint256 before) private {
        uint256 afterwards = IERC20(quote.asset).balanceOf(to);
        uint256 arrived = afterwards > before ? afterwards - before : 0;
        if (arrived != quote.amount) revert WrongAmountArrived(arrived, quote.amount);
        emit Paid(quote.invoice, payer, quote.asset, quote.amount, hash);
    }

    function _sendEther(address to, uint256 amount) private {
        (bool accepted,) = to.call{value: amount}("");
        if (!accepted) revert TreasuryRefused(to, amount);
    }

    function _treasury() private view returns (address to) {
        to = _FACTORY.treasury();
        if (to == address(0)) revert TreasuryNotSet();
    }
}
