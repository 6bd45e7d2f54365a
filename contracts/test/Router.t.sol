// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {DepositFactory} from "../src/DepositFactory.sol";
import {IPaymentRouter} from "../src/IPaymentRouter.sol";
import {PaymentRouter} from "../src/PaymentRouter.sol";
import {BlocklistToken} from "../src/sandbox/BlocklistToken.sol";
import {FeeToken} from "../src/sandbox/FeeToken.sol";
import {Payer} from "../src/sandbox/Payer.sol";
import {PermitToken} from "../src/sandbox/PermitToken.sol";
import {SilentToken} from "../src/sandbox/SilentToken.sol";
import {ContractTreasury} from "./Hostile.sol";
import {RouterBase} from "./RouterBase.sol";
import {SwallowingToken, TrickToken} from "./Tricks.sol";

/// @dev A contract that pays for itself: approves and pays, or pays ETH.
contract ContractPayer {
    function payToken(
        PaymentRouter router,
        PermitToken token,
        IPaymentRouter.Quote calldata quote,
        bytes calldata signature
    ) external {
        token.approve(address(router), quote.amount);
        router.payToken(quote, signature);
    }

    function pay(PaymentRouter router, IPaymentRouter.Quote calldata quote, bytes calldata signature)
        external
        payable
    {
        router.pay{value: msg.value}(quote, signature);
    }
}

/// @dev Exact, once, in time, to the treasury: or nothing.
contract RouterTest is RouterBase {
    function _fund(uint256 amount) private {
        dollar.mint(payer, amount);
        vm.prank(payer);
        dollar.approve(address(router), amount);
    }

    function testFuzz_EtherArrivesExactlyAndOnce(uint96 amount_) public {
        uint256 amount = uint256(amount_) + 1;
        IPaymentRouter.Quote memory quote = quoteOf(ETHER, amount);
        bytes memory signature = signedQuote(quote);
        vm.deal(payer, 2 * amount);
        yes(!router.isPaid(router.quoteHash(quote)), "not yet");
        expectPaid(quote, payer);
        vm.prank(payer);
        router.pay{value: amount}(quote, signature);
        eq(treasury.balance, amount, "arrived");
        yes(router.isPaid(router.quoteHash(quote)), "paid");
        refuses(IPaymentRouter.QuotePaid.selector, router.quoteHash(quote));
        vm.prank(payer);
        router.pay{value: amount}(quote, signature);
        eq(payer.balance, amount, "the second one came back");
        eq(address(router).balance, 0, "nothing stays");
    }

    function testFuzz_AnotherValueIsRefused(uint96 amount_, uint96 sent) public {
        uint256 amount = uint256(amount_) + 1;
        vm.assume(sent != amount);
        IPaymentRouter.Quote memory quote = quoteOf(ETHER, amount);
        bytes memory signature = signedQuote(quote);
        vm.deal(payer, sent);
        vm.expectRevert(abi.encodeWithSelector(IPaymentRouter.WrongValue.selector, sent, amount));
        vm.prank(payer);
        router.pay{value: sent}(quote, signature);
        eq(payer.balance, sent, "kept");
    }

    function testFuzz_TokenByAllowance(uint128 amount_) public {
        uint256 amount = uint256(amount_) + 1;
        IPaymentRouter.Quote memory quote = quoteOf(address(dollar), amount);
        bytes memory signature = signedQuote(quote);
        _fund(2 * amount);
        expectPaid(quote, payer);
        vm.prank(payer);
        router.payToken(quote, signature);
        eq(dollar.balanceOf(treasury), amount, "arrived");
        refuses(IPaymentRouter.QuotePaid.selector, router.quoteHash(quote));
        vm.prank(payer);
        router.payToken(quote, signature);
        eq(dollar.balanceOf(payer), amount, "the second one stays with the payer");
    }

    /// @dev An allowance to the router is its owner's alone: nobody else's call can spend it.
    function testFuzz_NobodySpendsAnothersAllowance(address sender) public {
        vm.assume(sender != payer && sender != address(0));
        IPaymentRouter.Quote memory quote = quoteOf(address(dollar), 100);
        bytes memory signature = signedQuote(quote);
        IPaymentRouter.Permit memory permit = permitOf(quote);
        _fund(1000);
        vm.expectRevert();
        vm.prank(sender);
        router.payToken(quote, signature);
        vm.expectRevert();
        vm.prank(sender);
        router.payWithPermit(quote, signature, permit);
        eq(dollar.balanceOf(payer), 1000, "untouched");
    }

    function testFuzz_TokenByPermit(uint128 amount_, bool ahead) public {
        uint256 amount = uint256(amount_) + 1;
        IPaymentRouter.Quote memory quote = quoteOf(address(dollar), amount);
        bytes memory signature = signedQuote(quote);
        IPaymentRouter.Permit memory permit = permitOf(quote);
        dollar.mint(payer, amount);
        if (ahead) {
            // somebody took it from the mempool and sent it first: the allowance is there all the same
            vm.prank(STRANGER);
            dollar.permit(payer, address(router), amount, permit.deadline, permit.v, permit.r, permit.s);
        }
        expectPaid(quote, payer);
        vm.prank(payer);
        router.payWithPermit(quote, signature, permit);
        eq(dollar.balanceOf(treasury), amount, "arrived");
        eq(dollar.allowance(payer, address(router)), 0, "nothing stays allowed");
    }

    /// @dev A bad permit, or one that the token swallows, gives nothing that was not given.
    function test_APermitThatGivesNothingPaysNothing() public {
        IPaymentRouter.Quote memory quote = quoteOf(address(dollar), 100);
        bytes memory signature = signedQuote(quote);
        IPaymentRouter.Permit memory permit = permitOf(quote);
        permit.deadline += 1;
        dollar.mint(payer, 100);
        vm.expectRevert();
        vm.prank(payer);
        router.payWithPermit(quote, signature, permit);
        SwallowingToken swallowing = new SwallowingToken();
        swallowing.mint(payer, 100);
        quote = quoteOf(address(swallowing), 100);
        signature = signedQuote(quote);
        vm.expectRevert();
        vm.prank(payer);
        router.payWithPermit(quote, signature, permit);
        vm.prank(payer);
        swallowing.approve(address(router), 100);
        vm.prank(payer);
        router.payWithPermit(quote, signature, permit);
        eq(swallowing.balanceOf(treasury), 100, "by the allowance");
    }

    function testFuzz_TokenByAuthorizationSentByAnybody(uint128 amount_, address sender) public {
        uint256 amount = uint256(amount_) + 1;
        IPaymentRouter.Quote memory quote = quoteOf(address(dollar), amount);
        bytes memory signature = signedQuote(quote);
        IPaymentRouter.Authorization memory authorization = authorizationOf(quote);
        dollar.mint(payer, amount);
        expectPaid(quote, payer);
        vm.prank(sender);
        router.payWithAuthorization(quote, signature, authorization);
        eq(dollar.balanceOf(treasury), amount, "arrived");
        eq(dollar.balanceOf(address(router)), 0, "nothing stays");
        refuses(IPaymentRouter.QuotePaid.selector, router.quoteHash(quote));
        router.payWithAuthorization(quote, signature, authorization);
    }

    /// @dev Whoever sends it cannot turn an authorization to another invoice, amount, deadline or payer.
    function testFuzz_AnAuthorizationPaysItsOwnQuoteOnly(bytes32 invoice, uint64 nonce, uint64 more) public {
        IPaymentRouter.Quote memory quote = quoteOf(address(dollar), 100);
        IPaymentRouter.Authorization memory authorization = authorizationOf(quote);
        IPaymentRouter.Quote memory other =
            IPaymentRouter.Quote(invoice, address(dollar), 100, START + 900 + more, nonce);
        vm.assume(router.quoteHash(other) != router.quoteHash(quote));
        bytes memory signature = signedQuote(other);
        dollar.mint(payer, 1000);
        vm.expectRevert();
        vm.prank(STRANGER);
        router.payWithAuthorization(other, signature, authorization);
        bytes32 hash = router.quoteHash(quote);
        vm.expectRevert(
            abi.encodeWithSelector(PermitToken.CallerMustBePayee.selector, address(this), address(router))
        );
        dollar.receiveWithAuthorization(
            payer,
            address(router),
            100,
            authorization.validAfter,
            authorization.validBefore,
            hash,
            authorization.v,
            authorization.r,
            authorization.s
        );
        vm.expectRevert();
        dollar.transferWithAuthorization(
            payer,
            address(router),
            100,
            authorization.validAfter,
            authorization.validBefore,
            hash,
            authorization.v,
            authorization.r,
            authorization.s
        );
        eq(dollar.balanceOf(payer), 1000, "untouched");
    }

    function testFuzz_OnlyBeforeItsDeadline(uint32 late) public {
        IPaymentRouter.Quote memory quote = quoteOf(ETHER, 5);
        bytes memory signature = signedQuote(quote);
        vm.deal(payer, 10);
        vm.warp(quote.deadline + 1 + late);
        vm.expectRevert(
            abi.encodeWithSelector(
                IPaymentRouter.QuoteExpired.selector, quote.deadline, quote.deadline + 1 + late
            )
        );
        vm.prank(payer);
        router.pay{value: 5}(quote, signature);
        vm.warp(quote.deadline);
        vm.prank(payer);
        router.pay{value: 5}(quote, signature);
        eq(treasury.balance, 5, "in its last second");
    }

    /// @dev Nothing but the signed content, on this network, at this router, by this key.
    function testFuzz_OnlyTheSignedQuote(uint8 field, uint256 change, uint256 key, uint64 chain) public {
        vm.assume(chain != block.chainid && chain != 0);
        key = bound(key, 1, type(uint128).max);
        vm.assume(key != QUOTE_KEY);
        IPaymentRouter.Quote memory quote = quoteOf(ETHER, 1 ether);
        bytes memory signature = signedQuote(quote);
        bytes memory byAnother = signed(key, router.quoteHash(quote));
        PaymentRouter twin = new PaymentRouter(factory);
        bytes memory forTwin = signed(QUOTE_KEY, twin.quoteHash(quote));
        vm.chainId(chain);
        bytes memory elsewhere = signedQuote(quote);
        vm.chainId(31337);
        bytes[4] memory wrong = [byAnother, forTwin, elsewhere, bytes("")];
        vm.deal(payer, 10 ether);
        for (uint256 i = 0; i < wrong.length; ++i) {
            refuses(IPaymentRouter.QuoteNotSigned.selector, router.quoteHash(quote));
            vm.prank(payer);
            router.pay{value: 1 ether}(quote, wrong[i]);
        }
        change = bound(change, 1, 1e18);
        if (field % 4 == 0) quote.invoice = bytes32(uint256(quote.invoice) ^ change);
        else if (field % 4 == 1) quote.amount += change;
        else if (field % 4 == 2) quote.deadline += change;
        else quote.nonce ^= change;
        refuses(IPaymentRouter.QuoteNotSigned.selector, router.quoteHash(quote));
        vm.prank(payer);
        router.pay{value: quote.amount}(quote, signature);
    }

    function testFuzz_TheHashIsEip712(IPaymentRouter.Quote memory quote) public view {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Bezant PaymentRouter"),
                keccak256("1"),
                block.chainid,
                address(router)
            )
        );
        bytes32 message = keccak256(
            abi.encode(
                keccak256(
                    "Quote(bytes32 invoice,address asset,uint256 amount,uint256 deadline,uint256 nonce)"
                ),
                quote
            )
        );
        eq(router.quoteHash(quote), keccak256(abi.encodePacked(hex"1901", domain, message)), "digest");
    }

    function test_AssetAndFunctionMustFit() public {
        IPaymentRouter.Quote memory ether_ = quoteOf(ETHER, 5);
        IPaymentRouter.Quote memory token_ = quoteOf(address(dollar), 5);
        IPaymentRouter.Quote memory nothing = quoteOf(ETHER, 0);
        bytes memory etherSigned = signedQuote(ether_);
        bytes memory tokenSigned = signedQuote(token_);
        bytes memory nothingSigned = signedQuote(nothing);
        bytes4 refusal = IPaymentRouter.QuoteNotPayableThus.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, address(dollar), 5));
        router.pay{value: 5}(token_, tokenSigned);
        vm.expectRevert(abi.encodeWithSelector(refusal, ETHER, 5));
        router.payToken(ether_, etherSigned);
        vm.expectRevert(abi.encodeWithSelector(refusal, ETHER, 0));
        router.pay(nothing, nothingSigned);
        (bool accepted,) = address(router).call{value: 1}("");
        yes(!accepted, "plain ETH is refused, so none gets stuck");
    }

    function testFuzz_AFeeOnTransferIsRefused(uint96 amount_) public {
        uint256 amount = uint256(amount_) + 1;
        FeeToken fee = new FeeToken("Fee", "FEE", 18);
        fee.mint(payer, amount);
        IPaymentRouter.Quote memory quote = quoteOf(address(fee), amount);
        bytes memory signature = signedQuote(quote);
        vm.prank(payer);
        fee.approve(address(router), amount);
        uint256 arrives = amount - (amount + 99) / 100;
        vm.expectRevert(abi.encodeWithSelector(IPaymentRouter.WrongAmountArrived.selector, arrives, amount));
        vm.prank(payer);
        router.payToken(quote, signature);
        eq(fee.balanceOf(payer), amount, "kept");
    }

    function testFuzz_ATokenThatReturnsNothingIsFine(uint128 amount_) public {
        uint256 amount = uint256(amount_) + 1;
        SilentToken silent = new SilentToken("Tether", "USDT", 6);
        silent.mint(payer, amount);
        IPaymentRouter.Quote memory quote = quoteOf(address(silent), amount);
        bytes memory signature = signedQuote(quote);
        vm.prank(payer);
        silent.approve(address(router), amount);
        expectPaid(quote, payer);
        vm.prank(payer);
        router.payToken(quote, signature);
        eq(silent.balanceOf(treasury), amount, "arrived");
    }

    /// @dev Whatever a signed token does, a quote is paid exactly or stays unpaid.
    function test_HostileTokensPayNothing() public {
        for (uint8 way = 0; way < uint8(TrickToken.Way.Reenters); ++way) {
            TrickToken trick = new TrickToken(TrickToken.Way(way));
            trick.mint(payer, 1000);
            IPaymentRouter.Quote memory quote = quoteOf(address(trick), 100);
            bytes memory signature = signedQuote(quote);
            vm.prank(payer);
            trick.approve(address(router), 1000);
            if (way == uint8(TrickToken.Way.TakesMore)) {
                vm.prank(payer);
                router.payToken(quote, signature); // what it takes beside is between payer and token
                eq(trick.balanceOf(treasury), 100, "exact");
                continue;
            }
            vm.expectRevert();
            vm.prank(payer);
            router.payToken{gas: 1_000_000}(quote, signature);
            yes(!router.isPaid(router.quoteHash(quote)), "unpaid");
        }
        address none = address(0xDEAD);
        IPaymentRouter.Quote memory codeless = quoteOf(none, 100);
        bytes memory signature_ = signedQuote(codeless);
        vm.expectRevert();
        vm.prank(payer);
        router.payToken(codeless, signature_);
    }

    /// @dev Inside a payment no other begins, by whatever function.
    function test_ReentranceIsRefused() public {
        TrickToken trick = new TrickToken(TrickToken.Way.Reenters);
        IPaymentRouter.Quote memory quote = quoteOf(address(trick), 100);
        IPaymentRouter.Quote memory other = quoteOf(ETHER, 0);
        bytes memory signature = signedQuote(quote);
        IPaymentRouter.Permit memory permit;
        IPaymentRouter.Authorization memory authorization;
        bytes[5] memory calls = [
            abi.encodeCall(router.payToken, (quote, signature)),
            abi.encodeCall(router.pay, (other, signature)),
            abi.encodeCall(router.payWithPermit, (quote, signature, permit)),
            abi.encodeCall(router.payWithAuthorization, (quote, signature, authorization)),
            abi.encodeCall(router.flush, (address(trick)))
        ];
        trick.mint(payer, 1000);
        vm.prank(payer);
        trick.approve(address(router), 1000);
        for (uint256 i = 0; i < calls.length; ++i) {
            quote.nonce = i;
            signature = signedQuote(quote);
            trick.arm(address(router), calls[i]);
            vm.prank(payer);
            router.payToken(quote, signature);
            bytes4 told = bytes4(trick.outcome());
            yes(told == bytes4(keccak256("ReentrancyGuardReentrantCall()")), "refused");
        }
        eq(trick.balanceOf(treasury), 500, "each once");
    }

    function test_TheTreasuryInForceIsPaidAndNoneIsRefused() public {
        IPaymentRouter.Quote memory quote = quoteOf(ETHER, 5);
        DepositFactory empty = new DepositFactory(owner);
        PaymentRouter idle = new PaymentRouter(empty);
        vm.prank(owner);
        idle.setQuoteKey(vm.addr(QUOTE_KEY), 0);
        bytes memory early = signed(QUOTE_KEY, idle.quoteHash(quote));
        vm.deal(address(this), 100);
        vm.expectRevert(abi.encodeWithSelector(IPaymentRouter.TreasuryNotSet.selector));
        idle.pay{value: 5}(quote, early);
        ContractTreasury safe = new ContractTreasury();
        propose(address(safe));
        vm.warp(START + 48 hours);
        safe.accept(factory);
        quote.deadline = START + 49 hours;
        bytes memory signature = signedQuote(quote);
        safe.setRefuses(true);
        vm.expectRevert(abi.encodeWithSelector(IPaymentRouter.TreasuryRefused.selector, address(safe), 5));
        router.pay{value: 5}(quote, signature);
        safe.setRefuses(false);
        router.pay{value: 5}(quote, signature);
        eq(address(safe).balance, 5, "the new treasury");
    }

    function test_TheTreasuryCannotPayItself() public {
        IPaymentRouter.Quote memory quote = quoteOf(ETHER, 5);
        bytes memory signature = signedQuote(quote);
        vm.deal(treasury, 5);
        vm.expectRevert(abi.encodeWithSelector(IPaymentRouter.PayerIsTreasury.selector, treasury));
        vm.prank(treasury);
        router.pay{value: 5}(quote, signature);
        quote = quoteOf(address(dollar), 5);
        signature = signedQuote(quote);
        dollar.mint(treasury, 5);
        vm.prank(treasury);
        dollar.approve(address(router), 5);
        vm.expectRevert(abi.encodeWithSelector(IPaymentRouter.WrongAmountArrived.selector, 0, 5));
        vm.prank(treasury);
        router.payToken(quote, signature);
    }

    function test_ContractsPay() public {
        ContractPayer wallet = new ContractPayer();
        IPaymentRouter.Quote memory quote = quoteOf(ETHER, 5);
        expectPaid(quote, address(wallet));
        wallet.pay{value: 5}(router, quote, signedQuote(quote));
        quote = quoteOf(address(dollar), 7);
        bytes memory signature = signedQuote(quote);
        dollar.mint(address(wallet), 7);
        expectPaid(quote, address(wallet));
        wallet.payToken(router, dollar, quote, signature);
        eq(dollar.balanceOf(treasury), 7, "tokens");
    }

    function test_ABlockedPayerOrTreasuryPaysNothing() public {
        BlocklistToken coin = new BlocklistToken("Coin", "USDC", 6);
        coin.mint(payer, 100);
        vm.prank(payer);
        coin.approve(address(router), 100);
        IPaymentRouter.Quote memory quote = quoteOf(address(coin), 100);
        bytes memory signature = signedQuote(quote);
        coin.setBlocked(treasury, true);
        vm.expectRevert(abi.encodeWithSelector(BlocklistToken.Blocked.selector, treasury));
        vm.prank(payer);
        router.payToken(quote, signature);
        yes(!router.isPaid(router.quoteHash(quote)), "unpaid, and payable once unblocked");
        coin.setBlocked(treasury, false);
        vm.prank(payer);
        router.payToken(quote, signature);
    }

    /// @dev Quotes in flight outlive a planned change; after a theft they need not.
    function testFuzz_TheKeyChangesWithoutBreakingQuotesInFlight(uint32 grace, uint32 wait) public {
        uint256 until = START + bound(grace, 0, 7 days);
        IPaymentRouter.Quote memory quote = quoteOf(ETHER, 5);
        quote.deadline = START + 30 days;
        bytes memory old = signedQuote(quote);
        vm.expectEmit(true, true, true, true, address(router));
        emit IPaymentRouter.QuoteKeyChanged(vm.addr(QUOTE_KEY), vm.addr(77), until);
        vm.prank(owner);
        router.setQuoteKey(vm.addr(77), until);
        eq(router.quoteKey(), vm.addr(77), "current");
        eq(router.previousQuoteKey(), vm.addr(QUOTE_KEY), "previous");
        eq(router.previousUntil(), until, "until");
        vm.warp(START + bound(wait, 0, 14 days));
        vm.deal(payer, 10);
        bool good = block.timestamp <= until;
        if (!good) refuses(IPaymentRouter.QuoteNotSigned.selector, router.quoteHash(quote));
        vm.prank(payer);
        router.pay{value: 5}(quote, old);
        yes(router.isPaid(router.quoteHash(quote)) == good, "as long as it was to be");
        quote.nonce = 2;
        bytes memory current = signed(77, router.quoteHash(quote));
        vm.prank(payer);
        router.pay{value: 5}(quote, current);
    }

    function test_AKeyBeforeThePreviousOneEnds() public {
        IPaymentRouter.Quote memory quote = quoteOf(ETHER, 5);
        bytes memory first = signedQuote(quote);
        vm.prank(owner);
        router.setQuoteKey(vm.addr(77), START + 60);
        vm.prank(owner);
        router.setQuoteKey(address(0), START + 60);
        refuses(IPaymentRouter.QuoteNotSigned.selector, router.quoteHash(quote));
        router.pay{value: 5}(quote, first);
        refuses(IPaymentRouter.QuoteNotSigned.selector, router.quoteHash(quote));
        router.pay{value: 5}(quote, new bytes(65)); // recovers to nobody, who is not the key
        router.pay{value: 5}(quote, signed(77, router.quoteHash(quote)));
    }

    function testFuzz_OnlyTheFactorysOwnerNamesTheKey(address sender, uint32 more) public {
        vm.assume(sender != owner);
        vm.expectRevert(abi.encodeWithSelector(IPaymentRouter.OnlyFactoryOwner.selector, sender));
        vm.prank(sender);
        router.setQuoteKey(sender, 0);
        uint256 latest = START + 7 days;
        vm.expectRevert(
            abi.encodeWithSelector(IPaymentRouter.RotationTooLong.selector, latest + 1 + more, latest)
        );
        vm.prank(owner);
        router.setQuoteKey(sender, latest + 1 + more);
        eq(router.factory(), address(factory), "whose owner");
    }

    /// @dev What lies here by mistake is not lost, and it too reaches nobody but the treasury.
    function testFuzz_StrayMoneyReachesTheTreasury(uint96 ether_, uint128 tokens, address sender) public {
        vm.assume(sender != treasury);
        vm.deal(address(router), ether_);
        dollar.mint(address(router), tokens);
        vm.prank(sender);
        router.flush(ETHER);
        vm.expectEmit(true, true, true, true, address(router));
        emit IPaymentRouter.Flushed(address(dollar), tokens);
        vm.prank(sender);
        router.flush(address(dollar));
        eq(treasury.balance, ether_, "ETH");
        eq(dollar.balanceOf(treasury), tokens, "tokens");
    }
}
