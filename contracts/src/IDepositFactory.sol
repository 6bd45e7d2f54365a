// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title Deposit addresses without keys, whose money can only reach one treasury
/// @notice The address of `salt` is `keccak256(0xff . factory . salt . INIT_CODE_HASH)[12:]` (EIP-1014). It can be
/// given out and paid before anything is deployed there; the first sweep deploys it. Only this factory can, so
/// nobody takes an address over, and an instruction to it can only pay the treasury in force.
interface IDepositFactory {
    /// @notice One token (zero address: ETH) and the deposit addresses to empty of it.
    /// The first `fresh` of them are believed not to be deployed, which saves 2,200 gas each for a token (asking
    /// the chain costs that). Believing wrongly costs up to `callGas` each and changes nothing else; 0 is always
    /// right.
    struct Batch {
        address token;
        uint256 fresh;
        bytes32[] salts;
    }

    /// @notice `amount` left the deposit address of `salt` for the treasury in force. `token` is zero for ETH.
    event Swept(bytes32 indexed salt, address indexed token, uint256 amount);

    /// @notice Stands right behind a `Swept` of the same salt and token if another amount arrived at the treasury
    /// than left the deposit address (a token with a transfer fee). Without it, what arrived is what left.
    /// The treasury is measured once per batch and the difference split in proportion: the sum is exact, and so is
    /// a batch of one salt.
    event Received(bytes32 indexed salt, address indexed token, uint256 amount);

    /// @notice Nothing left the address: the token reverted, returned false, refused to name a balance, or used up
    /// its gas. Anybody can cause it by sweeping with too little `callGas`, so it proves nothing about the token.
    event SweepFailed(bytes32 indexed salt, address indexed token);

    /// @notice The owner wants `treasury` to be the next one; it can be set from `effectiveFrom` (unix seconds) on.
    event TreasuryProposed(address indexed treasury, uint256 effectiveFrom);

    /// @notice The owner took the proposal back.
    event TreasuryProposalCancelled(address indexed treasury);

    /// @notice From here on sweeps pay `current`.
    event TreasuryChanged(address indexed previous, address indexed current);

    /// @notice No treasury was set on this network yet.
    error TreasuryNotSet();

    /// @notice `treasury` is not what the owner proposed (zero: nothing is proposed).
    error TreasuryNotProposed(address treasury, address proposed);

    /// @notice The delay is not over: unix seconds.
    error TreasuryTooEarly(uint256 effectiveFrom, uint256 timestamp);

    /// @notice Neither did `treasury` call itself nor is the signature its own.
    error TreasuryNotProven(address treasury);

    /// @notice The zero address and the factory itself cannot be the treasury.
    error TreasuryInvalid(address treasury);

    /// @notice A call failed for want of gas, not by the token's fault: send the transaction with a higher limit.
    error InsufficientGas(uint256 callGas, uint256 left);

    /// @notice The address of `salt` has its code already.
    error AlreadyDeployed(bytes32 salt);

    /// @notice A sweep is running, and what was called is not allowed inside it.
    error Reentered();

    /// @notice This function is a part of `sweepKnown`; nobody else calls it.
    error OnlyItself();

    /// @notice Inside `sweepKnown` only: other than the named amounts arrived, so that part is undone.
    error NotAsKnown();

    /// @notice Without an owner a lost treasury could never be replaced.
    error OwnerRequired();

    /// @notice Sends all of each batch's token at its addresses to the treasury in force. Anybody may call.
    /// An address without balance is passed over without event or deployment; one that fails emits
    /// `SweepFailed` and never blocks the others. A batch of many salts is cheaper than many batches.
    /// @param batches What to empty of what.
    /// @param callGas Most gas for one call to a token, to the treasury or for one deployment. It bounds what a
    /// hostile token can burn, and no fixed bound can lock a dear one in: it gets more by a higher value.
    /// 300,000 suits all usual tokens.
    function sweep(Batch[] calldata batches, uint256 callGas) external;

    /// @notice Sends named amounts of one token from its addresses to the treasury in force, for less gas than
    /// `sweep` (nobody is asked for balances). Anybody may call. If not exactly their sum arrives, that is undone
    /// and the batch is done as `sweep` does it: all that each address holds, a failing one never blocks the others.
    /// So amounts are a hint, as `fresh` is: wrong ones cost gas; what an address holds above its amount stays
    /// for the next sweep. Events as in `sweep`.
    /// @param token An ERC-20. For ETH an amount saves nothing, and this reports the zero address as failed.
    /// @param fresh How many of the first addresses are believed not to be deployed, as in `Batch`.
    /// @param known One word per address: amount in the upper 128 bits (not zero), salt in the lower 128 bits.
    /// @param callGas As in `sweep`.
    function sweepKnown(address token, uint256 fresh, bytes32[] calldata known, uint256 callGas) external;

    /// @notice Puts the code at the address of `salt`. A sweep does it where it is needed; alone it is of no use
    /// and no harm, so anybody may.
    function deploy(bytes32 salt) external returns (address deposit);

    /// @notice The owner names the next treasury: at once the first time, after `TREASURY_DELAY` later. A proposal
    /// replaces the one before and starts the delay anew.
    function proposeTreasury(address candidate) external;

    /// @notice The owner takes the proposal back.
    function cancelTreasury() external;

    /// @notice Makes the proposed treasury the one in force. Anybody may call with proof that `candidate` is under
    /// control on this network: the call comes from it (a contract, a multisig), or `signature` is its
    /// EIP-712 signature over `treasuryDigest(candidate)`.
    function setTreasury(address candidate, bytes calldata signature) external;

    /// @notice Where sweeps pay; zero as long as none was set on this network.
    function treasury() external view returns (address);

    /// @notice The proposed treasury, zero if none.
    function proposedTreasury() external view returns (address);

    /// @notice From when the proposed treasury can be set, unix seconds; zero if none is proposed.
    function effectiveFrom() external view returns (uint256);

    /// @notice What an account signs to prove control: EIP-712 `Treasury(address treasury)` in the domain
    /// (name "Bezant DepositFactory", version "1", chainId, verifyingContract = this factory).
    function treasuryDigest(address candidate) external view returns (bytes32);

    /// @notice The deposit address of `salt`, deployed or not.
    function depositAddress(bytes32 salt) external view returns (address);
}
