// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {BlocklistToken} from "../src/sandbox/BlocklistToken.sol";
import {FeeToken} from "../src/sandbox/FeeToken.sol";
import {MockAggregator} from "../src/sandbox/MockAggregator.sol";
import {Multicall3} from "../src/sandbox/Multicall3.sol";
import {Payer} from "../src/sandbox/Payer.sol";
import {PermitToken} from "../src/sandbox/PermitToken.sol";
import {SanctionsOracle} from "../src/sandbox/SanctionsOracle.sol";
import {SandboxToken} from "../src/sandbox/SandboxToken.sol";
import {SilentToken} from "../src/sandbox/SilentToken.sol";
import {Base} from "./Base.sol";

/// @dev The sandbox's contracts misbehave exactly as they say.
contract SandboxTest is Base {
    address private constant SHOP = address(0x5409);

    receive() external payable {}

    function testFuzz_AnybodyMintsATokenOfAnyDecimals(uint8 decimals, address to, uint256 amount) public {
        vm.assume(to != address(0));
        SandboxToken token = new SandboxToken("Name", "SYM", decimals);
        token.mint(to, amount);
        eq(token.decimals(), decimals, "decimals");
        eq(token.balanceOf(to), amount, "minted");
    }

    function test_SilentTokenReturnsNothing() public {
        SilentToken token = new SilentToken("Tether", "USDT", 6);
        token.mint(address(this), 100);
        (bool done, bytes memory answer) = address(token).call(abi.encodeCall(IERC20.transfer, (SHOP, 40)));
        yes(done && answer.length == 0, "transfer");
        (done, answer) = address(token).call(abi.encodeCall(IERC20.approve, (address(this), 60)));
        yes(done && answer.length == 0, "approve");
        (done, answer) = address(token).call(abi.encodeCall(IERC20.transferFrom, (address(this), SHOP, 60)));
        yes(done && answer.length == 0, "transferFrom");
        eq(token.balanceOf(SHOP), 100, "moved");
        vm.expectRevert(abi.encodeWithSelector(SilentToken.InsufficientBalance.selector, address(this), 0, 1));
        token.transfer(SHOP, 1);
    }

    function testFuzz_FeeTokenKeepsOnePercentRoundedUp(uint128 amount) public {
        FeeToken token = new FeeToken("Fee", "FEE", 18);
        token.mint(address(this), amount);
        yes(token.transfer(SHOP, amount), "transfer");
        uint256 fee = (uint256(amount) + 99) / 100;
        eq(token.balanceOf(SHOP), amount - fee, "arrived");
        eq(token.balanceOf(token.FEE_COLLECTOR()), fee, "kept");
    }

    function test_BlocklistTokenBlocksBothWays() public {
        BlocklistToken token = new BlocklistToken("Coin", "USDC", 6);
        token.mint(address(this), 10);
        token.setBlocked(SHOP, true);
        vm.expectRevert(abi.encodeWithSelector(BlocklistToken.Blocked.selector, SHOP));
        token.transfer(SHOP, 1);
        vm.expectRevert(abi.encodeWithSelector(BlocklistToken.Blocked.selector, SHOP));
        vm.prank(SHOP);
        token.transfer(address(this), 0);
        token.setBlocked(SHOP, false);
        yes(token.transfer(SHOP, 10), "unblocked");
    }

    function testFuzz_AggregatorSaysWhatItIsTold(
        uint80 id,
        int256 answer,
        uint256 startedAt,
        uint256 updatedAt,
        uint80 answeredIn
    ) public {
        vm.assume(answeredIn != 0 || startedAt != 0 || updatedAt != 0);
        MockAggregator feed = new MockAggregator("ETH / USD", 8, 3000e8);
        eq(feed.decimals(), 8, "decimals");
        feed.set(3100e8, block.timestamp);
        (uint80 round, int256 said,, uint256 when, uint80 inRound) = feed.latestRoundData();
        eq(round, 2, "the second round");
        eq(uint256(said), 3100e8, "answer");
        eq(when, block.timestamp, "time");
        eq(inRound, 2, "answered in");
        feed.setRound(id, answer, startedAt, updatedAt, answeredIn);
        (uint80 id2, int256 answer2, uint256 started2, uint256 updated2, uint80 in2) = feed.latestRoundData();
        eq(
            keccak256(abi.encode(id, answer, startedAt, updatedAt, answeredIn)),
            keccak256(abi.encode(id2, answer2, started2, updated2, in2)),
            "as told"
        );
    }

    function test_AggregatorKnowsNoRoundThatNeverWas() public {
        MockAggregator feed = new MockAggregator("ETH / USD", 8, 3000e8);
        vm.expectRevert(abi.encodeWithSelector(MockAggregator.NoDataPresent.selector, 7));
        feed.getRoundData(7);
    }

    function testFuzz_OracleKnowsItsList(address account, address other) public {
        vm.assume(account != other);
        SanctionsOracle oracle = new SanctionsOracle();
        address[] memory list = new address[](1);
        list[0] = account;
        yes(!oracle.isSanctioned(account), "not yet");
        oracle.addToSanctionsList(list);
        yes(oracle.isSanctioned(account) && !oracle.isSanctioned(other), "on the list");
        oracle.removeFromSanctionsList(list);
        yes(!oracle.isSanctioned(account), "no longer");
        yes(oracle.isSanctioned.selector == 0xdf592f7d, "the public selector");
    }

    /// @dev The public type hashes of USDC, so that wallets and libraries sign for it as for the real one.
    function test_PermitTokenHasUsdcsTypes() public {
        PermitToken token = new PermitToken("USD Coin", "USDC", 6);
        eq(
            token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH(),
            0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267,
            "transfer"
        );
        eq(
            token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(),
            0xd099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8,
            "receive"
        );
        eq(
            token.CANCEL_AUTHORIZATION_TYPEHASH(),
            0x158b0a9edf7a828aad02f63cd515c68ef2f50ba807396f6d12842833a1597429,
            "cancel"
        );
        eq(
            token.PERMIT_TYPEHASH(),
            0x6e71edae12b1b97f4d1f60370fef10105fa2faae0126114a169c64845d6126c9,
            "permit"
        );
    }

    /// @dev Within its time, once, signed by the sender for this payee; after a cancellation not at all.
    function testFuzz_AuthorizationsAreUsedOnceAndInTime(bytes32 nonce, uint32 time, bool cancelled) public {
        PermitToken token = new PermitToken("USD Coin", "USDC", 6);
        address from = vm.addr(7);
        token.mint(from, 200);
        vm.warp(1000 + time % 300);
        bool inTime = block.timestamp > 1100 && block.timestamp < 1200;
        if (cancelled) _cancel(token, from, nonce);
        bytes memory data = _authorization(token, from, SHOP, nonce);
        (bool done,) = address(token).call(_authorization(token, from, address(this), nonce));
        yes(!done, "signed for another payee");
        (done,) = address(token).call(data);
        yes(done == (inTime && !cancelled), "in its time, unless cancelled");
        eq(token.balanceOf(SHOP), done ? 100 : 0, "moved");
        yes(token.authorizationState(from, nonce) == (done || cancelled), "used");
        (done,) = address(token).call(data);
        yes(!done, "once");
    }

    /// @dev The call that moves 100 to `to`, with the signature for SHOP.
    function _authorization(PermitToken token, address from, address to, bytes32 nonce)
        private
        view
        returns (bytes memory)
    {
        bytes32 kind = token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH();
        bytes32 message = keccak256(abi.encode(kind, from, SHOP, 100, 1100, 1200, nonce));
        (uint8 v, bytes32 r, bytes32 s) = _sign(token, message);
        return abi.encodeCall(token.transferWithAuthorization, (from, to, 100, 1100, 1200, nonce, v, r, s));
    }

    function _cancel(PermitToken token, address from, bytes32 nonce) private {
        (uint8 v, bytes32 r, bytes32 s) =
            _sign(token, keccak256(abi.encode(token.CANCEL_AUTHORIZATION_TYPEHASH(), from, nonce)));
        token.cancelAuthorization(from, nonce, v, r, s);
    }

    function _sign(PermitToken token, bytes32 message) private view returns (uint8, bytes32, bytes32) {
        return vm.sign(7, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), message)));
    }

    function test_PayerPaysByInnerCalls() public {
        Payer payer = new Payer();
        vm.deal(address(this), 10 ether);
        payer.pay{value: 1 ether}(payable(SHOP));
        eq(SHOP.balance, 1 ether, "pay");
        payer.tryPayAndRevert{value: 2 ether}(payable(SHOP));
        eq(SHOP.balance, 1 ether, "undone");
        eq(address(this).balance, 9 ether, "and given back");
        address payable[] memory to = new address payable[](2);
        (to[0], to[1]) = (payable(SHOP), payable(address(0xABC)));
        uint256[] memory amounts = new uint256[](2);
        (amounts[0], amounts[1]) = (3 ether, 4 ether);
        payer.payMany{value: 7 ether}(to, amounts);
        eq(SHOP.balance, 4 ether, "first");
        eq(to[1].balance, 4 ether, "second");
        vm.expectRevert(abi.encodeWithSelector(Payer.ValueDiffers.selector, 8 ether, 7 ether));
        vm.deal(address(this), 10 ether);
        payer.payMany{value: 8 ether}(to, amounts);
        vm.expectRevert(abi.encodeWithSelector(Payer.OnlyItself.selector));
        payer.payThenRevert{value: 1}(payable(SHOP));
    }

    function test_PayerPaysTwiceInOneTransaction() public {
        Payer payer = new Payer();
        SandboxToken token = new SandboxToken("Dollar", "USD", 6);
        token.mint(address(this), 100);
        token.approve(address(payer), 100);
        payer.payTwice(token, SHOP, 30, 70);
        eq(token.balanceOf(SHOP), 100, "both");
    }

    /// @dev At its canonical address, by the code alone, as the sandbox lays it there.
    function test_Multicall3AnswersAtItsCanonicalAddress() public {
        Multicall3 calls = Multicall3(0xcA11bde05977b3631167028862bE2a173976CA11);
        vm.etch(address(calls), address(new Multicall3()).code);
        SandboxToken token = new SandboxToken("Dollar", "USD", 6);
        token.mint(SHOP, 77);
        vm.deal(SHOP, 5);
        Multicall3.Call3[] memory three = new Multicall3.Call3[](3);
        three[0] = Multicall3.Call3(address(token), false, abi.encodeCall(token.balanceOf, (SHOP)));
        three[1] = Multicall3.Call3(address(calls), false, abi.encodeCall(calls.getEthBalance, (SHOP)));
        three[2] = Multicall3.Call3(address(token), true, abi.encodeCall(token.transfer, (SHOP, 1)));
        Multicall3.Result[] memory results = calls.aggregate3(three);
        eq(abi.decode(results[0].returnData, (uint256)), 77, "tokens");
        eq(abi.decode(results[1].returnData, (uint256)), 5, "ETH");
        yes(!results[2].success, "a failure that is allowed");
        three[2].allowFailure = false;
        vm.expectRevert(bytes("Multicall3: call failed"));
        calls.aggregate3(three);
        Multicall3.Call[] memory plain = new Multicall3.Call[](1);
        plain[0] = Multicall3.Call(address(token), three[0].callData);
        (uint256 number, bytes[] memory answers) = calls.aggregate(plain);
        eq(number, calls.getBlockNumber(), "block");
        eq(abi.decode(answers[0], (uint256)), 77, "aggregate");
        eq(abi.decode(calls.tryAggregate(false, plain)[0].returnData, (uint256)), 77, "tryAggregate");
        eq(calls.getCurrentBlockTimestamp(), block.timestamp, "time");
        eq(calls.getChainId(), block.chainid, "chain id");
    }

    /// @dev Selectors of the contract on public networks.
    function test_Multicall3HasThePublicSelectors() public pure {
        yes(Multicall3.aggregate3.selector == 0x82ad56cb, "aggregate3");
        yes(Multicall3.aggregate3Value.selector == 0x174dea71, "aggregate3Value");
        yes(Multicall3.aggregate.selector == 0x252dba42, "aggregate");
        yes(Multicall3.tryAggregate.selector == 0xbce38bd7, "tryAggregate");
        yes(Multicall3.blockAndAggregate.selector == 0xc3077fa9, "blockAndAggregate");
        yes(Multicall3.tryBlockAndAggregate.selector == 0x399542e9, "tryBlockAndAggregate");
        yes(Multicall3.getEthBalance.selector == 0x4d2301cc, "getEthBalance");
        yes(Multicall3.getBlockNumber.selector == 0x42cbb15c, "getBlockNumber");
        yes(Multicall3.getBlockHash.selector == 0xee82ac5e, "getBlockHash");
        yes(Multicall3.getLastBlockHash.selector == 0x27e86d6e, "getLastBlockHash");
        yes(Multicall3.getCurrentBlockTimestamp.selector == 0x0f28c97d, "getCurrentBlockTimestamp");
        yes(Multicall3.getCurrentBlockGasLimit.selector == 0x86d516e8, "getCurrentBlockGasLimit");
        yes(Multicall3.getCurrentBlockCoinbase.selector == 0xa8b0574e, "getCurrentBlockCoinbase");
        yes(Multicall3.getCurrentBlockDifficulty.selector == 0x72425d9d, "getCurrentBlockDifficulty");
        yes(Multicall3.getBasefee.selector == 0x3e64a696, "getBasefee");
        yes(Multicall3.getChainId.selector == 0x3408e470, "getChainId");
    }
}
