// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// Energy Web Origin, release C (December 2019 to March 2020): the functions, events, texts and traps of DeviceLogic in
/// energywebfoundation/origin, packages/device-registry, in code of our own. It asked nobody for a role in the end.
contract OriginC {
    struct Device {
        address smartMeter;
        address owner;
        uint256 lastSmartMeterReadWh;
    }

    struct SmartMeterRead {
        uint256 energy;
        uint256 timestamp;
    }

    Device[] private _devices;
    mapping(uint256 => SmartMeterRead[]) private _reads;

    event LogDeviceCreated(address _sender, uint256 indexed _deviceId);
    event LogNewMeterRead(uint256 indexed _deviceId, uint256 _oldMeterRead, uint256 _newMeterRead, uint256 _timestamp);

    function createDevice(address smartMeter, address deviceOwner) external returns (uint256 id) {
        id = _devices.length;
        _devices.push(Device({smartMeter: smartMeter, owner: deviceOwner, lastSmartMeterReadWh: 0}));
        emit LogDeviceCreated(msg.sender, id);
    }

    /// The timestamp 0 is the block's; another one may be a minute ahead of it, and as old as it likes.
    function saveSmartMeterRead(uint256 id, uint256 total, uint256 timestamp) external {
        require(
            timestamp <= block.timestamp + 60, "a timestamp cannot be higher than current block time plus 1 min"
        );
        if (timestamp == 0) timestamp = block.timestamp;
        Device storage device = _devices[_there(id)];
        require(device.smartMeter == msg.sender, "saveSmartMeterRead: wrong sender");
        uint256 before = device.lastSmartMeterReadWh;
        require(total > before, "saveSmartMeterRead: meter read too low");
        device.lastSmartMeterReadWh = total;
        emit LogNewMeterRead(id, before, total, timestamp);
        _reads[id].push(SmartMeterRead({energy: total - before, timestamp: timestamp}));
    }

    function getDevice(uint256 id) external view returns (Device memory) {
        return _devices[_there(id)];
    }

    function getLastMeterReading(uint256 id) external view returns (uint256) {
        return _devices[_there(id)].lastSmartMeterReadWh;
    }

    function getSmartMeterReadsForDevice(uint256 id) external view returns (SmartMeterRead[] memory) {
        return _reads[id];
    }

    function getDeviceListLength() external view returns (uint256) {
        return _devices.length;
    }

    /// A device that is not there ends the call without a reason.
    function _there(uint256 id) private view returns (uint256) {
        if (id >= _devices.length) {
            assembly ("memory-safe") {
                invalid()
            }
        }
        return id;
    }
}
