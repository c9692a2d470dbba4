// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// The notary of Energy Web's 24/7 SDK, with the function and the event of origin-247-energy-api: it stores nothing, and
/// anybody may say anything.
contract Notary {
    event NewMeterReading(address indexed operator, bytes32 indexed proof);

    function store(bytes32 proof) public {
        emit NewMeterReading(msg.sender, proof);
    }
}
