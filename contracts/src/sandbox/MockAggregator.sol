// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title Chainlink's AggregatorV3Interface, declared here since its package installs from no registry
interface AggregatorV3Interface {
    function decimals() external view returns (uint8);
    function description() external view returns (string memory);
    function version() external view returns (uint256);
    function getRoundData(uint80 roundId)
        external
        view
        returns (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);
    function latestRoundData()
        external
        view
        returns (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);
}

/// @title A price feed that says what it is told to, hostile rounds included
contract MockAggregator is AggregatorV3Interface {
    struct Round {
        int256 answer;
        uint256 startedAt;
        uint256 updatedAt;
        uint80 answeredInRound;
    }

    uint256 public constant override version = 4;
    uint8 public immutable override decimals;
    string public override description;
    uint80 public latestRound;
    mapping(uint80 id => Round) private _rounds;

    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);

    /// @dev The text of Chainlink's own aggregators.
    error NoDataPresent(uint80 roundId);

    constructor(string memory description_, uint8 decimals_, int256 answer_) {
        description = description_;
        decimals = decimals_;
        set(answer_, block.timestamp);
    }

    /// @notice The next round, in order as an honest feed has them. `updatedAt` in unix seconds.
    function set(int256 answer, uint256 updatedAt) public {
        setRound(latestRound + 1, answer, updatedAt, updatedAt, latestRound + 1);
    }

    /// @notice Makes this the latest round, whatever it says: old, from the future, unfinished (`updatedAt` 0),
    /// answered in an earlier round, with a round id that went back.
    function setRound(uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
        public
    {
        latestRound = id;
        _rounds[id] = Round(answer, startedAt, updatedAt, answeredInRound);
        emit AnswerUpdated(answer, id, updatedAt);
    }

    /// @dev A round that was never set reverts, as at Chainlink's.
    function getRoundData(uint80 roundId)
        public
        view
        override
        returns (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        Round storage round = _rounds[roundId];
        if (round.answeredInRound == 0 && round.startedAt == 0 && round.updatedAt == 0) {
            revert NoDataPresent(roundId);
        }
        return (roundId, round.answer, round.startedAt, round.updatedAt, round.answeredInRound);
    }

    function latestRoundData()
        external
        view
        override
        returns (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        return getRoundData(latestRound);
    }
}
