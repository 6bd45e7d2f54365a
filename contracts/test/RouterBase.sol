// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IPaymentRouter} from "../src/IPaymentRouter.sol";
import {PaymentRouter} from "../src/PaymentRouter.sol";
import {PermitToken} from "../src/sandbox/PermitToken.sol";
import {FactoryBase} from "./FactoryBase.sol";

/// @dev A router with a quote key, a dollar with permits and authorizations, and a payer whose key is known.
abstract contract RouterBase is FactoryBase {
    uint256 internal constant QUOTE_KEY = 0x0907E;
    uint256 internal constant PAYER_KEY = 0x9A7E4;
    uint256 internal constant START = 1_800_000_000;
    address internal payer = vm.addr(PAYER_KEY);
    PaymentRouter internal router;
    PermitToken internal dollar;

    function setUp() public virtual override {
        super.setUp();
        router = new PaymentRouter(factory);
        dollar = new PermitToken("USD Coin", "USDC", 6);
        vm.prank(owner);
        router.setQuoteKey(vm.addr(QUOTE_KEY), 0);
    }

    function quoteOf(address asset, uint256 amount) internal pure returns (IPaymentRouter.Quote memory) {
        return IPaymentRouter.Quote(bytes32("invoice"), asset, amount, START + 900, 1);
    }

    function signedQuote(IPaymentRouter.Quote memory quote) internal view returns (bytes memory) {
        return signed(QUOTE_KEY, router.quoteHash(quote));
    }

    function permitOf(IPaymentRouter.Quote memory quote)
        internal
        view
        returns (IPaymentRouter.Permit memory permit)
    {
        bytes32 message = keccak256(
            abi.encode(
                dollar.PERMIT_TYPEHASH(),
                payer,
                address(router),
                quote.amount,
                dollar.nonces(payer),
                START + 60
            )
        );
        permit.deadline = START + 60;
        (permit.v, permit.r, permit.s) = vm.sign(PAYER_KEY, typed(message));
    }

    /// @dev The payer's authorization to `to`, bound to the quote by its nonce.
    function authorizationOf(IPaymentRouter.Quote memory quote)
        internal
        view
        returns (IPaymentRouter.Authorization memory authorization)
    {
        authorization = IPaymentRouter.Authorization(payer, START - 1, START + 60, 0, 0, 0);
        bytes32 message = keccak256(
            abi.encode(
                dollar.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(),
                payer,
                address(router),
                quote.amount,
                START - 1,
                START + 60,
                router.quoteHash(quote)
            )
        );
        (authorization.v, authorization.r, authorization.s) = vm.sign(PAYER_KEY, typed(message));
    }

    function typed(bytes32 message) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", dollar.DOMAIN_SEPARATOR(), message));
    }

    function expectPaid(IPaymentRouter.Quote memory quote, address from) internal {
        bytes32 hash = router.quoteHash(quote);
        vm.expectEmit(true, true, true, true, address(router));
        emit IPaymentRouter.Paid(quote.invoice, from, quote.asset, quote.amount, hash);
    }

    function refuses(bytes4 selector, bytes32 argument) internal {
        vm.expectRevert(abi.encodeWithSelector(selector, argument));
    }
}
