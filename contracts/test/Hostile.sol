// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {DepositFactory} from "../src/DepositFactory.sol";
import {SandboxToken} from "../src/sandbox/SandboxToken.sol";

/// @dev A token whose `transfer` is chosen: each way in which a real one has failed its users.
contract HostileToken {
    enum Way {
        RevertsTransfer,
        ReturnsFalse,
        ClaimsSuccess,
        BurnsGas,
        RevertsWithBomb,
        RevertsBalance,
        AnswersShort,
        BalanceBomb,
        BalanceBurns,
        HugeBalance,
        HidesHolders,
        BurnsForHolders,
        Vanishes,
        Reenters,
        Selfish
    }

    Way public immutable WAY;
    mapping(address account => uint256) private _held;
    address private _factory;
    bytes private _call;
    bytes public outcome;

    constructor(Way way) {
        WAY = way;
    }

    function mint(address to, uint256 amount) external {
        _held[to] += amount;
    }

    /// @dev What to call in the middle of a transfer.
    function arm(address factory, bytes calldata data) external {
        _factory = factory;
        _call = data;
    }

    function balanceOf(address account) external view returns (uint256) {
        if (WAY == Way.RevertsBalance) revert("no");
        if (WAY == Way.BalanceBurns) _burn();
        if (WAY == Way.HidesHolders && _held[account] != 0) revert("no");
        if (WAY == Way.BurnsForHolders && _held[account] != 0) _burn();
        if (WAY == Way.HugeBalance || WAY == Way.Vanishes) {
            return _held[account] == 0 ? 0 : type(uint256).max - 1;
        }
        if (WAY == Way.AnswersShort) {
            assembly {
                mstore(0x00, not(0))
                return(0x00, 0x1f)
            }
        }
        if (WAY == Way.BalanceBomb) {
            assembly {
                revert(0x00, 1000000)
            }
        }
        return _held[account];
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        if (WAY == Way.RevertsTransfer) revert("no");
        if (WAY == Way.ReturnsFalse) return false;
        if (WAY == Way.ClaimsSuccess || WAY == Way.HugeBalance) return true;
        if (WAY == Way.BurnsGas) _burn();
        if (WAY == Way.Vanishes) {
            _held[msg.sender] = 0;
            return true;
        }
        if (WAY == Way.RevertsWithBomb) {
            assembly {
                revert(0x00, 1000000)
            }
        }
        if (WAY == Way.Reenters) {
            (, outcome) = _factory.call(_call);
        }
        _held[msg.sender] -= amount;
        _held[WAY == Way.Selfish ? address(this) : to] += amount;
        return true;
    }

    function _burn() private pure {
        assembly {
            invalid()
        }
    }
}

/// @dev A token whose transfer costs a million gas and is honest otherwise.
contract DearToken is SandboxToken {
    constructor() SandboxToken("Dear", "DEAR", 18) {}

    function _update(address from, address to, uint256 value) internal override {
        uint256 start = gasleft();
        while (from != address(0) && start - gasleft() < 1_000_000) {}
        super._update(from, to, value);
    }
}

/// @dev A treasury that is a contract: it can prove itself only by calling, and may refuse ETH.
contract ContractTreasury {
    bool public refuses;

    function setRefuses(bool value) external {
        refuses = value;
    }

    function accept(DepositFactory factory) external {
        factory.setTreasury(address(this), "");
    }

    receive() external payable {
        require(!refuses, "refused");
    }
}

/// @dev Somebody else's factory with the same code and salt.
contract ForeignDeployer {
    function deploy(bytes memory initCode, bytes32 salt) external returns (address made) {
        assembly {
            made := create2(0, add(initCode, 0x20), mload(initCode), salt)
        }
    }
}
