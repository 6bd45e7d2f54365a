// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {DepositFactory} from "../src/DepositFactory.sol";
import {IPaymentRouter} from "../src/IPaymentRouter.sol";
import {Multisend} from "../src/Multisend.sol";
import {PaymentRouter} from "../src/PaymentRouter.sol";
import {FeeToken} from "../src/sandbox/FeeToken.sol";
import {PermitToken} from "../src/sandbox/PermitToken.sol";
import {Base} from "./Base.sol";

/// @dev Payers pay good and bad quotes by every way and in every order, keys change, time passes, somebody sends money
/// to the wrong place, and a wallet pays out. It keeps its own account of what each must hold.
contract Shop is Base {
    uint256 private constant PAYER_KEY = 0x9A7E4;
    uint256 private constant QUOTES = 12;
    address public immutable TREASURY = address(0x7EA5);
    address public immutable PAYER = vm.addr(PAYER_KEY);
    address public immutable ALICE = address(0xA11CE);
    DepositFactory public immutable FACTORY = new DepositFactory(address(this));
    PaymentRouter public immutable ROUTER = new PaymentRouter(FACTORY);
    Multisend public immutable MULTISEND = new Multisend();
    PermitToken public immutable DOLLAR = new PermitToken("USD Coin", "USDC", 6);
    FeeToken public immutable FEE = new FeeToken("Fee", "FEE", 18);

    uint256 public dueEther;
    uint256 public dueDollars;
    uint256 public paidOut;
    bool public wrong;
    mapping(bytes32 quoteHash => uint256) private _times;

    constructor() {
        vm.warp(1_800_000_000);
        FACTORY.proposeTreasury(TREASURY);
        vm.prank(TREASURY);
        FACTORY.setTreasury(TREASURY, "");
        ROUTER.setQuoteKey(vm.addr(1), 0);
        vm.prank(PAYER);
        FEE.approve(address(ROUTER), type(uint256).max);
        vm.prank(PAYER);
        DOLLAR.approve(address(MULTISEND), type(uint256).max);
    }

    function payEther(uint256 which, uint256 key, bool exact) external {
        IPaymentRouter.Quote memory quote = _quote(address(0), which);
        uint256 value = exact ? quote.amount : quote.amount - 1;
        vm.deal(PAYER, value);
        bytes memory signature = _signature(quote, key);
        bool good = exact && _good(quote, key);
        vm.prank(PAYER);
        try ROUTER.pay{value: value}(quote, signature) {
            dueEther += value;
            _note(quote, good);
        } catch {
            if (good) wrong = true;
        }
        vm.deal(PAYER, 0);
    }

    /// @dev `way`: by allowance, by permit, by authorization. Without a balance nothing may be paid.
    function payDollars(uint256 which, uint256 key, uint8 way, bool funded) external {
        IPaymentRouter.Quote memory quote = _quote(address(DOLLAR), which);
        if (funded) DOLLAR.mint(PAYER, quote.amount);
        bytes memory signature = _signature(quote, key);
        bool good = DOLLAR.balanceOf(PAYER) >= quote.amount && _good(quote, key);
        if (_payDollars(quote, signature, way % 3)) {
            dueDollars += quote.amount;
            _note(quote, good);
        } else if (good) {
            wrong = true;
        }
    }

    function payWithAFee(uint256 which, uint256 key) external {
        IPaymentRouter.Quote memory quote = _quote(address(FEE), which);
        FEE.mint(PAYER, quote.amount);
        bytes memory signature = _signature(quote, key);
        vm.prank(PAYER);
        try ROUTER.payToken(quote, signature) {
            wrong = true;
        } catch {}
    }

    function stray(uint64 ether_, uint64 dollars) external {
        vm.deal(address(ROUTER), address(ROUTER).balance + ether_);
        DOLLAR.mint(address(ROUTER), dollars);
    }

    function flush() external {
        dueEther += address(ROUTER).balance;
        dueDollars += DOLLAR.balanceOf(address(ROUTER));
        ROUTER.flush(address(0));
        ROUTER.flush(address(DOLLAR));
    }

    /// @dev A good and an impossible payment of each kind.
    function payOut(uint64 ether_, uint64 dollars) external {
        Multisend.Payment[] memory payments = new Multisend.Payment[](4);
        payments[0] = Multisend.Payment(address(0), ALICE, uint256(ether_) + 1);
        payments[1] = Multisend.Payment(address(0), address(FACTORY), 3); // accepts no ETH
        payments[2] = Multisend.Payment(address(DOLLAR), ALICE, uint256(dollars) + 1);
        payments[3] = Multisend.Payment(address(DOLLAR), ALICE, type(uint256).max);
        DOLLAR.mint(PAYER, uint256(dollars) + 1);
        uint256 held = DOLLAR.balanceOf(PAYER);
        vm.deal(PAYER, uint256(ether_) + 4);
        vm.prank(PAYER);
        MULTISEND.send{value: uint256(ether_) + 4}(payments, 100_000);
        paidOut += uint256(dollars) + 1;
        if (PAYER.balance != 3 || held - DOLLAR.balanceOf(PAYER) != uint256(dollars) + 1) wrong = true;
        vm.deal(PAYER, 0);
    }

    function changeKey(uint256 key, uint32 grace) external {
        ROUTER.setQuoteKey(vm.addr(1 + key % 3), block.timestamp + grace % 7 days);
    }

    function wait(uint16 time) external {
        vm.warp(block.timestamp + time);
    }

    function _payDollars(IPaymentRouter.Quote memory quote, bytes memory signature, uint8 way)
        private
        returns (bool)
    {
        bytes32 hash = ROUTER.quoteHash(quote);
        if (way == 2) {
            IPaymentRouter.Authorization memory by;
            (by.from, by.validBefore) = (PAYER, type(uint256).max);
            bytes32 message = keccak256(
                abi.encode(
                    DOLLAR.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(),
                    PAYER,
                    address(ROUTER),
                    quote.amount,
                    0,
                    type(uint256).max,
                    hash
                )
            );
            (by.v, by.r, by.s) = vm.sign(PAYER_KEY, _typed(message));
            try ROUTER.payWithAuthorization(quote, signature, by) {
                return true;
            } catch {
                return false;
            }
        }
        if (way == 1) {
            IPaymentRouter.Permit memory permit;
            bytes32 message = keccak256(
                abi.encode(
                    DOLLAR.PERMIT_TYPEHASH(),
                    PAYER,
                    address(ROUTER),
                    quote.amount,
                    DOLLAR.nonces(PAYER),
                    block.timestamp
                )
            );
            permit.deadline = block.timestamp;
            (permit.v, permit.r, permit.s) = vm.sign(PAYER_KEY, _typed(message));
            vm.prank(PAYER);
            try ROUTER.payWithPermit(quote, signature, permit) {
                return true;
            } catch {
                return false;
            }
        }
        vm.prank(PAYER);
        DOLLAR.approve(address(ROUTER), quote.amount);
        vm.prank(PAYER);
        try ROUTER.payToken(quote, signature) {
            return true;
        } catch {
            return false;
        }
    }

    function _quote(address asset, uint256 which) private pure returns (IPaymentRouter.Quote memory) {
        uint256 n = which % QUOTES;
        return IPaymentRouter.Quote(bytes32(n), asset, 1000 + n, 1_800_000_000 + n * 50_000, n);
    }

    function _signature(IPaymentRouter.Quote memory quote, uint256 key) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(1 + key % 3, ROUTER.quoteHash(quote));
        return abi.encodePacked(r, s, v);
    }

    function _good(IPaymentRouter.Quote memory quote, uint256 key) private view returns (bool) {
        address signer = vm.addr(1 + key % 3);
        bool before = signer == ROUTER.previousQuoteKey() && block.timestamp <= ROUTER.previousUntil();
        bool inTime = block.timestamp <= quote.deadline;
        return inTime && (signer == ROUTER.quoteKey() || before) && _times[ROUTER.quoteHash(quote)] == 0;
    }

    function _note(IPaymentRouter.Quote memory quote, bool good) private {
        bytes32 hash = ROUTER.quoteHash(quote);
        if (!good || ++_times[hash] > 1 || !ROUTER.isPaid(hash)) wrong = true;
    }

    function _typed(bytes32 message) private view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", DOLLAR.DOMAIN_SEPARATOR(), message));
    }
}

contract RouterInvariantTest is Base {
    Shop private shop;

    function setUp() public {
        shop = new Shop();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(shop);
    }

    /// @dev Every quote was paid as it could be and only so: good ones go through, others never, none twice.
    function invariant_OnlyGoodQuotesArePaidAndOnce() public view {
        yes(!shop.wrong(), "exactly, once, in time, by the key");
    }

    function invariant_TheTreasuryHoldsWhatWasPaid() public view {
        eq(shop.TREASURY().balance, shop.dueEther(), "ETH");
        eq(shop.DOLLAR().balanceOf(shop.TREASURY()), shop.dueDollars(), "dollars");
        eq(shop.FEE().balanceOf(shop.TREASURY()), 0, "a token with a fee");
    }

    function invariant_MultisendKeepsNothingAndPaysExactly() public view {
        eq(address(shop.MULTISEND()).balance, 0, "ETH");
        eq(shop.DOLLAR().balanceOf(address(shop.MULTISEND())), 0, "dollars");
        eq(shop.DOLLAR().balanceOf(shop.ALICE()), shop.paidOut(), "paid out");
    }
}
