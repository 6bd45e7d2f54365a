// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title Payments from a customer's wallet in one transaction, named by a signed quote
/// @notice A quote says what one invoice costs in one asset until when. Who pays it, pays exactly that to the
/// treasury of the DepositFactory, once. The event `Paid` is the deposit. The router keeps nothing: no money, no
/// authority over anybody's allowance but the caller's own.
interface IPaymentRouter {
    /// @notice What the quote key signs, as EIP-712 in the domain (name "Bezant PaymentRouter", version "1", chainId,
    /// verifyingContract = this router). `asset` is zero for ETH, `amount` in base units and not zero, `deadline` in
    /// unix seconds: the last second in which it can be paid. `nonce` makes quotes of the same content differ.
    struct Quote {
        bytes32 invoice;
        address asset;
        uint256 amount;
        uint256 deadline;
        uint256 nonce;
    }

    /// @notice An EIP-3009 authorization of `from` to this router over the quote's asset and amount, whose nonce is
    /// the quote's hash: so it can pay this quote and no other, whoever sends it.
    struct Authorization {
        address from;
        uint256 validAfter;
        uint256 validBefore;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// @notice An EIP-2612 permit of the caller to this router over the quote's amount.
    struct Permit {
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// @notice `amount` of `asset` (zero: ETH), no more and no less, went from `payer` to the treasury.
    event Paid(
        bytes32 indexed invoice, address indexed payer, address asset, uint256 amount, bytes32 quoteHash
    );

    /// @notice Quotes of `current` are good from here on, those of `previous` until `previousUntil` (unix seconds).
    event QuoteKeyChanged(address indexed previous, address indexed current, uint256 previousUntil);

    /// @notice What had been sent here by mistake went to the treasury.
    event Flushed(address indexed asset, uint256 amount);

    /// @notice Only the owner of the factory changes the quote key.
    error OnlyFactoryOwner(address caller);

    /// @notice The former key may go on for `ROTATION` at most.
    error RotationTooLong(uint256 previousUntil, uint256 latest);

    /// @notice The signature is not of the quote key over this quote, or the key is no longer good.
    error QuoteNotSigned(bytes32 quoteHash);

    /// @notice The deadline is over: unix seconds.
    error QuoteExpired(uint256 deadline, uint256 timestamp);

    /// @notice The quote was paid already.
    error QuotePaid(bytes32 quoteHash);

    /// @notice The quote is of another kind of asset than this function pays, or of nothing.
    error QuoteNotPayableThus(address asset, uint256 amount);

    /// @notice Exactly the quote's amount of ETH must be sent along.
    error WrongValue(uint256 sent, uint256 amount);

    /// @notice Another amount arrived at the treasury (a token with a transfer fee, for instance).
    error WrongAmountArrived(uint256 arrived, uint256 amount);

    /// @notice No treasury was set on this network yet.
    error TreasuryNotSet();

    /// @notice The treasury did not accept ETH.
    error TreasuryRefused(address treasury, uint256 amount);

    /// @notice The treasury cannot pay itself.
    error PayerIsTreasury(address treasury);

    /// @notice Pays a quote in ETH, all of which must be sent along.
    function pay(Quote calldata quote, bytes calldata signature) external payable;

    /// @notice Pays a quote in a token from the caller's balance; needs the caller's allowance.
    function payToken(Quote calldata quote, bytes calldata signature) external;

    /// @notice The same with the allowance given by `permit`. A permit that fails, because somebody sent it ahead or
    /// the token has none, is no failure as long as the allowance is there.
    function payWithPermit(Quote calldata quote, bytes calldata signature, Permit calldata permit) external;

    /// @notice Pays a quote in a token from `authorization.from`, who needs no ETH: anybody may send it.
    function payWithAuthorization(
        Quote calldata quote,
        bytes calldata signature,
        Authorization calldata authorization
    ) external;

    /// @notice The owner of the factory names the key that signs quotes; zero: none. Quotes in flight, signed by the
    /// one before, stay good until `until` (0: they end now). Whatever key was before that one ends.
    function setQuoteKey(address key, uint256 until) external;

    /// @notice Sends what lies here by mistake (zero: ETH) to the treasury. Anybody may call.
    function flush(address asset) external;

    /// @notice Whether the quote of this hash was paid.
    function isPaid(bytes32 hash) external view returns (bool);

    /// @notice What the quote key signs: the EIP-712 digest, of which router and network are a part.
    function quoteHash(Quote calldata quote) external view returns (bytes32);

    /// @notice The factory whose treasury is paid and whose owner names the quote key.
    function factory() external view returns (address);

    /// @notice Signs quotes; zero: nobody does.
    function quoteKey() external view returns (address);

    /// @notice The key before it, good until `previousUntil`.
    function previousQuoteKey() external view returns (address);

    /// @notice Last second in which quotes of `previousQuoteKey` are good.
    function previousUntil() external view returns (uint256);
}
