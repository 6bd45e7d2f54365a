// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {DepositAddresses} from "./DepositAddresses.sol";
import {IDepositFactory} from "./IDepositFactory.sol";

/// @title DepositFactory
/// @dev Deployed through the deterministic deployer with the owner as only argument: the same owner gets the
/// same address on every network, and whoever deploys it first deploys it for that owner. There are no
/// immutables, so the code is the same everywhere too, and one hash proves it.
contract DepositFactory is DepositAddresses {
    uint256 private constant UNKNOWN = type(uint256).max;

    modifier onlyItself() {
        if (msg.sender != address(this)) revert OnlyItself();
        _;
    }

    constructor(address owner_) Ownable(owner_) {}

    /// @inheritdoc IDepositFactory
    function sweep(Batch[] calldata batches, uint256 callGas) external override outsideSweep {
        address to = treasury;
        if (to == address(0)) revert TreasuryNotSet();
        sweeping = true;
        for (uint256 i = 0; i < batches.length; ++i) {
            Batch calldata batch = batches[i];
            if (batch.token == address(0)) _sweepEther(batch.salts, to, callGas);
            else _sweepToken(batch.token, batch.fresh, batch.salts, to, callGas);
        }
        sweeping = false;
    }

    /// @inheritdoc IDepositFactory
    function sweepKnown(address token, uint256 fresh, bytes32[] calldata known, uint256 callGas)
        external
        override
        outsideSweep
    {
        if (treasury == address(0)) revert TreasuryNotSet();
        if (_tryKnown()) return;
        sweeping = true;
        // `sweeping` is itself the guard: it is set before the call, and only taken back after it.
        // slither-disable-next-line reentrancy-no-eth
        this.sweepSalts(token, fresh, _saltsOf(known), callGas);
        sweeping = false;
    }

    /// @notice The careful half of `sweepKnown`: what `sweep` does for one batch. Only the factory calls it.
    function sweepSalts(address token, uint256 fresh, bytes32[] calldata salts, uint256 callGas)
        external
        onlyItself
    {
        _sweepToken(token, fresh, salts, treasury, callGas);
    }

    /// @notice The quick half of `sweepKnown`, in a frame that is undone with its events unless exactly the named
    /// sum arrived. Only the factory calls it. Same arguments.
    /// @dev No flag is set, which would cost 3,000 gas: a change of the treasury inside undoes it, so does a sweep
    /// inside that moves the same token, and a sweep of other tokens inside is one of its own, as if it came next.
    function collectKnown(address token, uint256 fresh, bytes32[] calldata known, uint256 callGas)
        external
        onlyItself
    {
        address to = treasury;
        (bool before, uint256 held) = _balanceOf(token, to, callGas);
        _deployKnown(known, fresh, callGas);
        uint256 named = _instructKnown(known, token, _frame(token, to), callGas);
        (bool afterwards, uint256 holds) = _balanceOf(token, to, callGas);
        bool arrived = before && afterwards && holds >= held && holds - held == named;
        if (!arrived || treasury != to) revert NotAsKnown();
    }

    function _sweepEther(bytes32[] calldata salts, address to, uint256 callGas) private {
        for (uint256 i = 0; i < salts.length; ++i) {
            bytes32 salt = salts[i];
            address deposit = depositAddress(salt);
            uint256 held = deposit.balance;
            // Who sends a wei to make it unequal only gets that wei swept, as any other.
            // slither-disable-next-line incorrect-equality
            if (held == 0) continue;
            assembly ("memory-safe") {
                if iszero(extcodesize(deposit)) {
                    mstore(0x00, 0x2b85ba38) // deploy(bytes32)
                    mstore(0x20, salt)
                    pop(call(callGas, address(), 0, 0x1c, 0x24, 0x00, 0x00))
                }
                let order := mload(0x40) // the instruction `to . held . 0`, see DepositProxy
                mstore(order, to)
                mstore(add(order, 0x20), held)
                mstore(add(order, 0x40), 0)
                pop(call(callGas, deposit, 0, order, 0x60, 0x00, 0x00))
            }
            uint256 rest = deposit.balance;
            if (rest < held) emit Swept(salt, address(0), held - rest);
            else _fail(salt, address(0), callGas);
        }
    }

    /// @dev Balances decide, no return value is believed. If exactly what the addresses held arrived at the
    /// treasury, that is what left each of them; otherwise each one is looked at again.
    function _sweepToken(address token, uint256 fresh, bytes32[] calldata salts, address to, uint256 callGas)
        private
    {
        (bool known, uint256 before) = _balanceOf(token, to, callGas);
        if (!known) return _failAll(token, salts, callGas);
        (uint256[] memory held, uint256 asked, bool all) = _collect(salts, fresh, _frame(token, to), callGas);
        uint256 afterwards;
        (known, afterwards) = _balanceOf(token, to, callGas);
        if (!known) _requireNotStarved(callGas);
        uint256 arrived = known && afterwards > before ? afterwards - before : 0;
        if (all && arrived == asked) _reportAll(token, salts, held);
        else _reportEach(token, salts, held, arrived, callGas);
    }

    /// @dev Has each address send its balance. `held[i]` is what was asked of it: 0 if it held nothing, UNKNOWN
    /// if the token would not say and nothing was asked, which makes `all` false. `asked` is the sum.
    /// In assembly because it runs for each deposit that the shop is ever paid; `frame` is described at `_frame`.
    function _collect(bytes32[] calldata salts, uint256 fresh, uint256 frame, uint256 callGas)
        private
        returns (uint256[] memory held, uint256 asked, bool all)
    {
        held = new uint256[](salts.length);
        all = true;
        assembly ("memory-safe") {
            let freshEnd := add(salts.offset, shl(5, fresh))
            let end := add(salts.offset, shl(5, salts.length))
            for { let at := salts.offset } lt(at, end) { at := add(at, 0x20) } {
                mstore(add(frame, 0x15), calldataload(at))
                let deposit := shr(96, shl(96, keccak256(frame, 0x55)))
                mstore(add(frame, 0x80), deposit)
                let known := staticcall(callGas, mload(add(frame, 0xa0)), add(frame, 0x7c), 0x24, 0x00, 0x20)
                if iszero(and(known, gt(returndatasize(), 0x1f))) {
                    mstore(add(add(held, 0x20), sub(at, salts.offset)), not(0)) // UNKNOWN
                    all := 0
                    continue
                }
                let amount := mload(0x00)
                if iszero(amount) { continue }
                let bare := lt(at, freshEnd)
                if iszero(bare) { bare := iszero(extcodesize(deposit)) }
                if bare {
                    mstore(0x00, 0x2b85ba38) // deploy(bytes32)
                    mstore(0x20, calldataload(at))
                    pop(call(callGas, address(), 0, 0x1c, 0x24, 0x00, 0x00))
                }
                mstore(add(frame, 0x124), amount)
                pop(call(callGas, deposit, 0, add(frame, 0xa0), 0xa4, 0x00, 0x00))
                mstore(add(add(held, 0x20), sub(at, salts.offset)), amount)
                asked := add(asked, amount)
            }
        }
    }

    /// @dev The salts alone: the lower half of each word.
    function _saltsOf(bytes32[] calldata known) private pure returns (bytes32[] memory salts) {
        salts = new bytes32[](known.length);
        for (uint256 i = 0; i < known.length; ++i) {
            salts[i] = bytes32(uint256(uint128(uint256(known[i]))));
        }
    }

    /// @dev Calls `collectKnown` with the arguments of `sweepKnown` as they came. False: nothing of it happened,
    /// and whatever the reason (too little gas included), the slow way finds out the truth by itself.
    function _tryKnown() private returns (bool done) {
        bytes4 selector = this.collectKnown.selector;
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, 0, calldatasize())
            mstore(free, or(selector, and(mload(free), shr(32, not(0)))))
            done := call(gas(), address(), 0, free, calldatasize(), 0x00, 0x00)
        }
    }

    /// @dev Deploys the first `fresh` addresses; one that is deployed already costs `callGas` and no more.
    function _deployKnown(bytes32[] calldata known, uint256 fresh, uint256 callGas) private {
        assembly ("memory-safe") {
            if gt(fresh, known.length) { fresh := known.length }
            mstore(0x00, 0x2b85ba38) // deploy(bytes32)
            let end := add(known.offset, shl(5, fresh))
            for { let at := known.offset } lt(at, end) { at := add(at, 0x20) } {
                mstore(0x20, and(calldataload(at), 0xffffffffffffffffffffffffffffffff))
                pop(call(callGas, address(), 0, 0x1c, 0x24, 0x00, 0x00))
            }
        }
    }

    /// @dev Has each address send the amount that its word names, asks for no balance and tells it as done: the
    /// frame is undone if it was not. `named` is the sum, and cannot overflow: an amount has 128 bits. An amount of
    /// zero reverts: there is nothing to tell of it.
    function _instructKnown(bytes32[] calldata known, address token, uint256 frame, uint256 callGas)
        private
        returns (uint256 named)
    {
        bytes32 topic = Swept.selector;
        assembly ("memory-safe") {
            let saltAt := add(frame, 0x15)
            let order := add(frame, 0xa0)
            let amountAt := add(frame, 0x124)
            let end := add(known.offset, shl(5, known.length))
            for { let at := known.offset } lt(at, end) { at := add(at, 0x20) } {
                let salt := calldataload(at)
                let amount := shr(128, salt)
                if iszero(amount) { revert(0x00, 0x00) }
                named := add(named, amount)
                salt := and(salt, 0xffffffffffffffffffffffffffffffff)
                mstore(saltAt, salt)
                mstore(amountAt, amount)
                pop(call(callGas, keccak256(frame, 0x55), 0, order, 0xa4, 0x00, 0x00))
                log3(amountAt, 0x20, topic, salt, token)
            }
        }
    }

    /// @dev Everything asked for has left: one `Swept` for each address that held something.
    function _reportAll(address token, bytes32[] calldata salts, uint256[] memory held) private {
        bytes32 topic = Swept.selector;
        assembly ("memory-safe") {
            let at := salts.offset
            let end := add(add(held, 0x20), shl(5, salts.length))
            for { let slot := add(held, 0x20) } lt(slot, end) { slot := add(slot, 0x20) } {
                if mload(slot) { log3(slot, 0x20, topic, calldataload(at), token) }
                at := add(at, 0x20)
            }
        }
    }

    /// @dev Looks at each address again. Of what arrived, each gets its part in proportion to what left it; the
    /// parts add up to what arrived exactly.
    function _reportEach(
        address token,
        bytes32[] calldata salts,
        uint256[] memory held,
        uint256 arrived,
        uint256 callGas
    ) private {
        uint256 total = 0;
        for (uint256 i = 0; i < salts.length; ++i) {
            if (held[i] == 0) continue;
            uint256 left = _leftOf(token, salts[i], held[i], callGas);
            // only a token that lies comes to a sum above 2^256, and it must not stop the other tokens by it
            if (left > type(uint256).max - total) left = 0;
            if (left == 0) _fail(salts[i], token, callGas);
            held[i] = left;
            total += left;
        }
        uint256 sum = 0;
        uint256 share = 0;
        for (uint256 i = 0; i < salts.length; ++i) {
            if (held[i] == 0) continue;
            emit Swept(salts[i], token, held[i]);
            sum += held[i];
            uint256 next = Math.mulDiv(arrived, sum, total);
            if (next - share != held[i]) emit Received(salts[i], token, next - share);
            share = next;
        }
    }

    /// @dev How much less the address holds than the `held` that was asked of it.
    function _leftOf(address token, bytes32 salt, uint256 held, uint256 callGas)
        private
        view
        returns (uint256)
    {
        if (held == UNKNOWN) return 0;
        (bool known, uint256 rest) = _balanceOf(token, depositAddress(salt), callGas);
        return known && rest < held ? held - rest : 0;
    }

    function _failAll(address token, bytes32[] calldata salts, uint256 callGas) private {
        for (uint256 i = 0; i < salts.length; ++i) {
            _fail(salts[i], token, callGas);
        }
    }

    function _fail(bytes32 salt, address token, uint256 callGas) private {
        _requireNotStarved(callGas);
        emit SweepFailed(salt, token);
    }
}
