// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {DepositFactory} from "../src/DepositFactory.sol";
import {DepositProxy} from "../src/DepositProxy.sol";
import {IDepositFactory} from "../src/IDepositFactory.sol";
import {Payer} from "../src/sandbox/Payer.sol";
import {FactoryBase, Vm} from "./FactoryBase.sol";
import {ForeignDeployer} from "./Hostile.sol";

/// @dev What a deposit address is: where it lies, what it accepts, and who can move its money where.
contract DepositTest is FactoryBase {
    Payer private payer = new Payer();

    function test_InitCodeHashIsOfTheInitCode() public view {
        eq(keccak256(DepositProxy.INIT_CODE), DepositProxy.INIT_CODE_HASH, "constant");
        eq(factory.INIT_CODE_HASH(), DepositProxy.INIT_CODE_HASH, "published");
    }

    function testFuzz_AddressIsComputedOffChain(bytes32 salt) public {
        bytes32 hash = keccak256(abi.encodePacked(hex"ff", factory, salt, DepositProxy.INIT_CODE_HASH));
        address computed = address(uint160(uint256(hash)));
        eq(factory.depositAddress(salt), computed, "EIP-1014");
        eq(factory.deploy(salt), computed, "where it is deployed");
        bytes memory code =
            abi.encodePacked(hex"73", factory, hex"3318602c573660603d373d3d6040353d6020353d355af15b");
        eq(keccak256(computed.code), keccak256(code), "runtime");
    }

    function testFuzz_AcceptsTheStipendBeforeAndAfterASweep(bytes32 salt, uint96 first, uint96 second)
        public
    {
        address payable deposit = payable(factory.depositAddress(salt));
        uint256 one = uint256(first) + 1;
        uint256 two = uint256(second) + 1;
        vm.deal(address(this), one + two);
        payer.payWithStipend{value: one}(deposit);
        sweep(ETHER, salt);
        yes(deposit.code.length > 0, "deployed by the sweep");
        payer.payWithStipend{value: two}(deposit);
        eq(deposit.balance, two, "accepted after the sweep");
        sweep(ETHER, salt);
        eq(treasury.balance, one + two, "both at the treasury");
    }

    function testFuzz_AcceptsEtherWithDataAfterASweep(bytes32 salt, bytes calldata data, uint96 amount)
        public
    {
        address deposit = factory.deploy(salt);
        vm.deal(address(this), amount);
        (bool paid,) = deposit.call{value: amount}(data);
        yes(paid, "as an account without code would");
        eq(deposit.balance, amount, "kept");
    }

    function testFuzz_AnybodySweepsOnlyTheTreasuryGains(
        address sender,
        bytes32 salt,
        uint96 ether_,
        uint128 tokens
    ) public {
        vm.assume(sender != treasury);
        address deposit = factory.depositAddress(salt);
        uint256 before = sender.balance;
        vm.deal(deposit, ether_);
        token.mint(deposit, tokens);
        sweepAs(sender, ETHER, salt);
        sweepAs(sender, address(token), salt);
        eq(treasury.balance, ether_, "ETH");
        eq(token.balanceOf(treasury), tokens, "tokens");
        eq(deposit.balance + token.balanceOf(deposit), 0, "nothing stays");
        eq(sender.balance, before, "the sender gains nothing");
    }

    /// @dev Every caller but the factory, every calldata: the shape of an instruction included.
    function testFuzz_OnlyTheFactoryInstructs(address sender, bytes32 salt, bytes calldata data) public {
        vm.assume(sender != address(factory));
        address deposit = factory.deploy(salt);
        vm.deal(deposit, 1 ether);
        token.mint(deposit, 1000);
        bytes memory transfer = abi.encodeCall(token.transfer, (sender, 1000));
        bytes[3] memory tries = [
            data,
            abi.encodePacked(abi.encode(sender, 1 ether, 0)),
            abi.encodePacked(abi.encode(token, 0, transfer.length), transfer)
        ];
        for (uint256 i = 0; i < tries.length; ++i) {
            vm.prank(sender);
            (bool done, bytes memory answer) = deposit.call(tries[i]);
            yes(done && answer.length == 0, "returns at once");
            eq(deposit.balance, 1 ether, "ETH stays");
            eq(token.balanceOf(deposit), 1000, "tokens stay");
        }
    }

    function testFuzz_TakeOverByAnotherDeployerFails(bytes32 salt) public {
        ForeignDeployer foreign = new ForeignDeployer();
        address theirs = foreign.deploy(DepositProxy.INIT_CODE, salt);
        yes(theirs != factory.depositAddress(salt), "another address");
        DepositFactory other = new DepositFactory(STRANGER);
        yes(other.depositAddress(salt) != factory.depositAddress(salt), "another factory, another address");
    }

    function testFuzz_FrontRunDeploymentChangesNothing(bytes32 salt, uint96 amount) public {
        address deposit = factory.depositAddress(salt);
        vm.deal(deposit, amount);
        vm.prank(STRANGER);
        factory.deploy(salt);
        vm.expectRevert(abi.encodeWithSelector(IDepositFactory.AlreadyDeployed.selector, salt));
        factory.deploy(salt);
        sweep(ETHER, salt);
        eq(treasury.balance, amount, "all at the treasury");
    }

    /// @dev Who deploys the factory first deploys it for the owner in its arguments, at the owner's address.
    function test_FrontRunFactoryDeploymentKeepsTheOwner() public {
        ForeignDeployer deterministic = new ForeignDeployer();
        bytes memory code = abi.encodePacked(type(DepositFactory).creationCode, abi.encode(owner));
        bytes memory stolen = abi.encodePacked(type(DepositFactory).creationCode, abi.encode(STRANGER));
        vm.prank(STRANGER);
        address theirs = deterministic.deploy(stolen, bytes32(0));
        vm.prank(STRANGER);
        address ours = deterministic.deploy(code, bytes32(0));
        yes(theirs != ours, "another owner is another address");
        eq(DepositFactory(ours).owner(), owner, "owner");
        eq(DepositFactory(ours).treasury(), address(0), "no treasury");
        eq(keccak256(ours.code), keccak256(address(factory).code), "the same code everywhere");
    }

    function test_EmptyAddressesAreNeitherDeployedNorTold() public {
        vm.recordLogs();
        sweep(ETHER, bytes32("empty"));
        sweep(address(token), bytes32("empty"));
        eq(vm.getRecordedLogs().length, 0, "events");
        eq(factory.depositAddress(bytes32("empty")).code.length, 0, "code");
    }

    function testFuzz_ManySaltsAndAssetsInOneTransaction(uint8 size, uint8 fresh, uint64 seed) public {
        uint256 n = bound(size, 1, 24);
        bytes32[] memory salts = new bytes32[](n);
        uint256 total = 0;
        for (uint256 i = 0; i < n; ++i) {
            salts[i] = keccak256(abi.encode(seed, i % 20)); // some twice, every third empty, every fifth deployed
            address deposit = factory.depositAddress(salts[i]);
            uint256 amount = i % 3 == 0 ? 0 : uint256(seed) + i;
            token.mint(deposit, amount);
            total += amount;
            vm.deal(deposit, 1 ether);
            if (i % 5 == 0 && deposit.code.length == 0) factory.deploy(salts[i]);
        }
        IDepositFactory.Batch[] memory batches = new IDepositFactory.Batch[](2);
        batches[0] = IDepositFactory.Batch(address(token), fresh, salts); // the hint may be wrong
        batches[1] = IDepositFactory.Batch(ETHER, fresh, salts);
        factory.sweep(batches, CALL_GAS);
        eq(token.balanceOf(treasury), total, "tokens");
        eq(treasury.balance, (n < 20 ? n : 20) * 1 ether, "ETH");
    }

    function testFuzz_SweptTellsWhatLeft(bytes32 salt, uint96 ether_, uint128 tokens) public {
        uint256 some = uint256(tokens) + 1;
        vm.deal(factory.depositAddress(salt), uint256(ether_) + 1);
        token.mint(factory.depositAddress(salt), some);
        vm.recordLogs();
        sweep(ETHER, salt);
        sweep(address(token), salt);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        eq(logs.length, 3, "two Swept, one Transfer");
        eq(logs[0].topics[0], IDepositFactory.Swept.selector, "ETH's event");
        eq(logs[0].topics[1], salt, "salt");
        eq(logs[0].topics[2], bytes32(0), "ETH");
        eq(abi.decode(logs[0].data, (uint256)), uint256(ether_) + 1, "ETH amount");
        eq(logs[2].topics[0], IDepositFactory.Swept.selector, "the token's event");
        eq(logs[2].topics[1], salt, "salt");
        eq(logs[2].topics[2], bytes32(uint256(uint160(address(token)))), "token");
        eq(abi.decode(logs[2].data, (uint256)), some, "token amount");
    }
}
