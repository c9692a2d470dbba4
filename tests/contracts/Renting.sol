// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// What a gateway sees of the Universal Sharing Network's renting contract: the functions and events of the ABI in
/// ew-link-bond's energyweb/smart_contract/usn/rent_v1.py. Its source is not public, so its rules here are our own: an
/// object is rented to one at a time, and its controller returns it; a second costs a wei. Any content of the
/// events can be had by emitRented and emitReturned.
contract Renting {
    struct Rental {
        address controller;
        uint64 rentedFrom;
        uint64 rentedUntil;
        uint128 properties;
    }

    mapping(bytes32 => Rental[]) private _rentals;

    event LogRented(
        bytes32 indexed fixFilter,
        bytes32 indexed id,
        address controller,
        uint64 rentedFrom,
        uint64 rentedUntil,
        bool noReturn,
        uint128 amount,
        address token,
        uint128 properties
    );
    event LogReturned(
        bytes32 indexed fixFilter,
        bytes32 indexed id,
        address controller,
        uint64 rentedFrom,
        uint64 rentedUntil,
        uint128 paidBack
    );

    function rent(bytes32 id, uint32 secondsToRent, address token) external payable {
        Rental[] storage all = _rentals[id];
        require(all.length == 0 || all[all.length - 1].rentedUntil <= block.timestamp, "rented");
        require(msg.value == price(id, msg.sender, secondsToRent, token), "price");
        Rental memory made = Rental({
            controller: msg.sender,
            rentedFrom: uint64(block.timestamp),
            rentedUntil: uint64(block.timestamp) + secondsToRent,
            properties: 0
        });
        all.push(made);
        emit LogRented(
            bytes32(0), id, msg.sender, made.rentedFrom, made.rentedUntil, false, uint128(msg.value), token, 0
        );
    }

    function returnObject(bytes32 id) external {
        Rental[] storage all = _rentals[id];
        require(all.length > 0 && all[all.length - 1].rentedUntil > block.timestamp, "not rented");
        Rental storage found = all[all.length - 1];
        require(found.controller == msg.sender, "controller");
        uint128 rest = found.rentedUntil - uint64(block.timestamp);
        found.rentedUntil = uint64(block.timestamp);
        emit LogReturned(bytes32(0), id, msg.sender, found.rentedFrom, found.rentedUntil, rest);
        (bool paid,) = msg.sender.call{value: rest}("");
        require(paid, "pay back");
    }

    function price(bytes32, address, uint32 secondsToRent, address) public pure returns (uint128) {
        return secondsToRent;
    }

    function getStateCount(bytes32 id) external view returns (uint256) {
        return _rentals[id].length;
    }

    function getState(bytes32 id, uint256 index)
        external
        view
        returns (address controller, uint64 rentedFrom, uint64 rentedUntil, uint128 properties)
    {
        Rental storage found = _rentals[id][index];
        return (found.controller, found.rentedFrom, found.rentedUntil, found.properties);
    }

    function getRentingState(bytes32 id, address user)
        external
        view
        returns (
            bool rentable,
            bool free,
            bool open,
            address controller,
            uint64 rentedUntil,
            uint64 rentedFrom,
            uint128 props
        )
    {
        uint256 count = _rentals[id].length;
        rentable = true;
        free = true;
        if (count > 0) {
            Rental storage found = _rentals[id][count - 1];
            free = found.rentedUntil <= block.timestamp;
            (controller, rentedUntil, rentedFrom) = (found.controller, found.rentedUntil, found.rentedFrom);
            (open, props) = (!free && controller == user, found.properties);
        }
    }

    function emitRented(
        bytes32 fixFilter,
        bytes32 id,
        address controller,
        uint64 rentedFrom,
        uint64 rentedUntil,
        bool noReturn,
        uint128 amount,
        address token,
        uint128 properties
    ) external {
        emit LogRented(fixFilter, id, controller, rentedFrom, rentedUntil, noReturn, amount, token, properties);
    }

    function emitReturned(
        bytes32 fixFilter,
        bytes32 id,
        address controller,
        uint64 rentedFrom,
        uint64 rentedUntil,
        uint128 paidBack
    ) external {
        emit LogReturned(fixFilter, id, controller, rentedFrom, rentedUntil, paidBack);
    }
}
