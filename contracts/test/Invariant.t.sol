// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {DepositFactory} from "../src/DepositFactory.sol";
import {IDepositFactory} from "../src/IDepositFactory.sol";
import {FeeToken} from "../src/sandbox/FeeToken.sol";
import {SandboxToken} from "../src/sandbox/SandboxToken.sol";
import {Base} from "./Base.sol";

/// @dev Customers pay, strangers sweep, deploy, instruct and sign, the owner changes the treasury, time passes:
/// in any order. It keeps its own account of what every treasury must hold.
contract World is Base {
    uint256 private constant KEYS = 3; // of the treasuries that take turns
    uint256 private constant SALTS = 6;

    DepositFactory public immutable FACTORY;
    SandboxToken public immutable TOKEN = new SandboxToken("Dollar", "USD", 6);
    FeeToken public immutable FEE = new FeeToken("Fee", "FEE", 18);
    address private constant STRANGER = address(0xBAD);

    uint256 public paidEther;
    uint256 public paidTokens;
    uint256 public paidFee;
    mapping(address treasury => uint256) public dueEther;
    mapping(address treasury => uint256) public dueTokens;
    uint256 private _proposedAt;
    bool public changedEarly;

    constructor() {
        vm.warp(1_800_000_000);
        FACTORY = new DepositFactory(address(this));
        FACTORY.proposeTreasury(treasuryOf(0));
        FACTORY.setTreasury(treasuryOf(0), _proof(0));
    }

    function treasuryOf(uint256 which) public pure returns (address) {
        return vm.addr(_key(which));
    }

    function depositOf(uint256 which) public view returns (address) {
        return FACTORY.depositAddress(bytes32(which % SALTS));
    }

    function payEther(uint256 which, uint64 amount) external {
        vm.deal(depositOf(which), depositOf(which).balance + amount);
        paidEther += amount;
    }

    function payTokens(uint256 which, uint64 amount) external {
        TOKEN.mint(depositOf(which), amount);
        FEE.mint(depositOf(which), amount);
        paidTokens += amount;
        paidFee += amount;
    }

    function sweep(uint256 from, uint8 size, uint8 fresh, bool all) external {
        uint256 n = size % SALTS + 1;
        bytes32[] memory salts = new bytes32[](n);
        address treasury = FACTORY.treasury();
        for (uint256 i = 0; i < n; ++i) {
            salts[i] = bytes32((from % SALTS + i) % SALTS);
            dueEther[treasury] += depositOf(uint256(salts[i])).balance;
            if (all) dueTokens[treasury] += TOKEN.balanceOf(depositOf(uint256(salts[i])));
        }
        IDepositFactory.Batch[] memory batches = new IDepositFactory.Batch[](all ? 3 : 1);
        batches[0] = IDepositFactory.Batch(address(0), fresh, salts);
        if (all) {
            batches[1] = IDepositFactory.Batch(address(TOKEN), fresh, salts);
            batches[2] = IDepositFactory.Batch(address(FEE), fresh, salts);
        }
        vm.prank(STRANGER);
        FACTORY.sweep(batches, 300_000);
    }

    /// @dev Named amounts, right and wrong ones: the treasury in force gets what leaves, and nobody else.
    function sweepKnown(uint256 which, uint64 named, uint8 fresh, bool right) external {
        address deposit = depositOf(which);
        uint256 held = TOKEN.balanceOf(deposit);
        bytes32[] memory known = new bytes32[](1);
        known[0] = bytes32((right ? held : named) << 128 | (which % SALTS));
        vm.prank(STRANGER);
        FACTORY.sweepKnown(address(TOKEN), fresh, known, 300_000);
        dueTokens[FACTORY.treasury()] += held - TOKEN.balanceOf(deposit);
    }

    function deploy(uint256 which) external {
        if (depositOf(which).code.length == 0) FACTORY.deploy(bytes32(which % SALTS));
    }

    function instruct(uint256 which, bytes calldata data) external {
        vm.prank(STRANGER);
        (bool done,) = depositOf(which).call(data);
        yes(done, "returns at once");
    }

    function propose(uint256 which) external {
        FACTORY.proposeTreasury(treasuryOf(which));
        _proposedAt = block.timestamp;
    }

    function cancel() external {
        if (FACTORY.proposedTreasury() != address(0)) FACTORY.cancelTreasury();
    }

    function setTreasury(uint256 which) external {
        try FACTORY.setTreasury(treasuryOf(which), _proof(which)) {
            if (block.timestamp < _proposedAt + 48 hours) changedEarly = true;
        } catch {}
    }

    function steal(uint256 signer, uint256 which) external {
        address before = FACTORY.treasury();
        vm.prank(STRANGER);
        try FACTORY.proposeTreasury(STRANGER) {
            changedEarly = true;
        } catch {}
        if (signer % KEYS == which % KEYS) return;
        vm.prank(STRANGER);
        try FACTORY.setTreasury(treasuryOf(which), _proof(signer)) {
            changedEarly = true;
        } catch {}
        eq(FACTORY.treasury(), before, "unchanged");
    }

    function wait(uint32 time) external {
        vm.warp(block.timestamp + time % 60 hours);
    }

    function _key(uint256 which) private pure returns (uint256) {
        return 0xA11CE + which % KEYS;
    }

    function _proof(uint256 which) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_key(which), FACTORY.treasuryDigest(treasuryOf(which)));
        return abi.encodePacked(r, s, v);
    }
}

contract InvariantTest is Base {
    World private world;

    function setUp() public {
        world = new World();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(world);
    }

    /// @dev Every wei ever paid lies at its deposit address or at the treasury that was in force at its sweep.
    function invariant_MoneyOnlyReachesTheTreasuryInForce() public view {
        uint256 ether_ = 0;
        uint256 tokens = 0;
        uint256 fee = world.FEE().balanceOf(world.FEE().FEE_COLLECTOR());
        for (uint256 i = 0; i < 6; ++i) {
            ether_ += world.depositOf(i).balance;
            tokens += world.TOKEN().balanceOf(world.depositOf(i));
            fee += world.FEE().balanceOf(world.depositOf(i));
        }
        for (uint256 i = 0; i < 3; ++i) {
            address treasury = world.treasuryOf(i);
            eq(treasury.balance, world.dueEther(treasury), "ETH due to this treasury");
            eq(world.TOKEN().balanceOf(treasury), world.dueTokens(treasury), "tokens due to this treasury");
            ether_ += treasury.balance;
            tokens += world.TOKEN().balanceOf(treasury);
            fee += world.FEE().balanceOf(treasury);
        }
        eq(ether_, world.paidEther(), "ETH");
        eq(tokens, world.paidTokens(), "tokens");
        eq(fee, world.paidFee(), "tokens with a fee");
    }

    function invariant_NoTreasuryChangesBeforeItsTimeOrByAStranger() public view {
        yes(!world.changedEarly(), "48 hours, the owner's proposal and the treasury's proof");
    }
}
