// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {Multisend} from "../src/Multisend.sol";

/// @dev A token whose transfers are chosen, for who pays with `transferFrom`.
contract TrickToken is ERC20("Trick", "TRICK") {
    enum Way {
        ReturnsFalse,
        ClaimsSuccess,
        ArrivesLess,
        ArrivesMore,
        TakesMore,
        Reverts,
        BurnsGas,
        Bomb,
        BalanceReverts,
        Reenters
    }

    Way public immutable WAY;
    address private _target;
    bytes private _call;
    bytes public outcome;

    constructor(Way way) {
        WAY = way;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @dev What to call in the middle of a transfer, each time.
    function arm(address target, bytes calldata data) external {
        (_target, _call) = (target, data);
    }

    function balanceOf(address account) public view override returns (uint256) {
        require(WAY != Way.BalanceReverts, "no");
        return super.balanceOf(account);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        if (WAY == Way.ReturnsFalse) return false;
        if (WAY == Way.ClaimsSuccess) return true;
        if (WAY == Way.Reverts) revert("no");
        if (WAY == Way.BurnsGas || WAY == Way.Bomb) {
            bool burns = WAY == Way.BurnsGas;
            assembly {
                if burns { invalid() }
                revert(0x00, 200000)
            }
        }
        if (WAY == Way.Reenters) {
            (, outcome) = _target.call(_call);
        }
        bool done = super.transferFrom(from, to, amount);
        if (WAY == Way.ArrivesLess) _burn(to, 1);
        if (WAY == Way.ArrivesMore) _mint(to, 1);
        if (WAY == Way.TakesMore) _burn(from, 1);
        return done;
    }
}

/// @dev A token as WETH in one respect: what it does not know, it swallows.
contract SwallowingToken is ERC20("Swallow", "SWAL") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    fallback() external {}
}

/// @dev A payee with code: refuses, burns, answers with much, calls back, or is content.
contract Payee {
    enum Way {
        Content,
        Refuses,
        BurnsGas,
        Bomb,
        Reenters
    }

    Way public way;
    Multisend private immutable _MULTISEND;

    constructor(Way way_, Multisend multisend) {
        way = way_;
        _MULTISEND = multisend;
    }

    receive() external payable {
        if (way == Way.Refuses) revert("no");
        if (way == Way.BurnsGas || way == Way.Bomb) {
            bool burns = way == Way.BurnsGas;
            assembly {
                if burns { invalid() }
                revert(0x00, 200000)
            }
        }
        if (way == Way.Reenters) {
            Multisend.Payment[] memory payments = new Multisend.Payment[](1);
            payments[0] = Multisend.Payment(address(0), address(0xCAFE), msg.value / 2 + 1);
            _MULTISEND.send{value: msg.value / 2 + 1}(payments, 50_000);
        }
    }
}
