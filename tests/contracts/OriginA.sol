// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// Energy Web Origin, release A (2018), as a meter and an asset's manager meet it: functions, events and traps of
/// energywebfoundation/ew-origin in code of our own. Whoever makes it is its owner, who has every role.
contract OriginA {
    address public immutable owner;
    OriginAUsers public immutable userRegistry;
    OriginAProducing public immutable assetProducingRegistry;
    OriginAConsuming public immutable assetConsumingRegistry;

    constructor() {
        owner = msg.sender;
        userRegistry = new OriginAUsers(this);
        assetProducingRegistry = new OriginAProducing(this);
        assetConsumingRegistry = new OriginAConsuming(this);
    }
}

/// Roles are bits: TopAdmin 1, UserAdmin 2, AssetAdmin 4, AgreementAdmin 8, AssetManager 16, Trader 32, Matcher 64.
/// Who has not the role is refused without a reason, as contracts of that time did.
abstract contract OriginARoles {
    enum Role { TopAdmin, UserAdmin, AssetAdmin, AgreementAdmin, AssetManager, Trader, Matcher }

    OriginA public immutable cooContract;

    constructor(OriginA coo) {
        cooContract = coo;
    }

    modifier onlyRole(Role role) {
        require(isRole(role, msg.sender));
        _;
    }

    function isRole(Role role, address who) public view returns (bool) {
        if (cooContract.owner() == who) return true;
        return cooContract.userRegistry().getRolesRights(who) & (1 << uint256(role)) != 0;
    }
}

contract OriginAUsers is OriginARoles {
    struct User {
        // First name, surname, organisation, street, number, zip, city, country, state.
        bytes32[9] fields;
        uint256 roles;
        bool active;
    }

    mapping(address => User) private _users;

    constructor(OriginA coo) OriginARoles(coo) {}

    function setUser(
        address user,
        bytes32 firstName,
        bytes32 surname,
        bytes32 organization,
        bytes32 street,
        bytes32 number,
        bytes32 zip,
        bytes32 city,
        bytes32 country,
        bytes32 state
    ) external onlyRole(Role.UserAdmin) {
        bytes32[9] memory fields = [firstName, surname, organization, street, number, zip, city, country, state];
        require(user != address(0));
        // The state may be empty.
        for (uint256 i = 0; i < 8; i++) require(fields[i] != 0);
        _users[user].fields = fields;
        _users[user].active = true;
    }

    function setRoles(address user, uint256 rights) external onlyRole(Role.UserAdmin) {
        require(_users[user].active);
        _users[user].roles = rights;
    }

    function getFullUser(address user)
        external
        view
        returns (
            bytes32 firstName,
            bytes32 surname,
            bytes32 organization,
            bytes32 street,
            bytes32 number,
            bytes32 zip,
            bytes32 city,
            bytes32 country,
            bytes32 state,
            uint256 roles,
            bool active
        )
    {
        User storage found = _users[user];
        (firstName, surname, organization) = (found.fields[0], found.fields[1], found.fields[2]);
        (street, number, zip) = (found.fields[3], found.fields[4], found.fields[5]);
        (city, country, state) = (found.fields[6], found.fields[7], found.fields[8]);
        (roles, active) = (found.roles, found.active);
    }

    function doesUserExist(address user) external view returns (bool) {
        return _users[user].active;
    }

    function getRolesRights(address user) external view returns (uint256) {
        return _users[user].roles;
    }
}

abstract contract OriginAAssets is OriginARoles {
    struct Asset {
        address smartMeter;
        address owner;
        uint256 operationalSince;
        uint256 lastWh;
        uint256 lastReceived;
        bytes32 fileHash;
        uint256 capacityWh;
        bool active;
        bool general;
        bool located;
        bool complete;
    }

    Asset[] internal _assets;

    event LogAssetCreated(address sender, uint256 indexed _assetId);
    event LogAssetFullyInitialized(uint256 indexed _assetId);
    event LogAssetSetActive(uint256 indexed _assetId);
    event LogAssetSetInactive(uint256 indexed _assetId);

    function createAsset() external onlyRole(Role.AssetAdmin) {
        uint256 id = _assets.length;
        _assets.push();
        emit LogAssetCreated(msg.sender, id);
    }

    function initLocation(uint256 id, bytes32, bytes32, bytes32, bytes32, bytes32, bytes32, bytes32, bytes32)
        external
        onlyRole(Role.AssetAdmin)
    {
        _asset(id).located = true;
        _complete(id);
    }

    function setActive(uint256 id, bool active) external onlyRole(Role.AssetAdmin) {
        _asset(id).active = active;
        if (active) emit LogAssetSetActive(id);
        else emit LogAssetSetInactive(id);
    }

    function updateSmartMeter(uint256 id, address smartMeter) external onlyRole(Role.AssetAdmin) {
        _asset(id).smartMeter = smartMeter;
    }

    function getActive(uint256 id) external view returns (bool) {
        return _asset(id).active;
    }

    function getLastSmartMeterReadFileHash(uint256 id) external view returns (bytes32) {
        return _asset(id).fileHash;
    }

    function getAssetListLength() external view returns (uint256) {
        return _assets.length;
    }

    /// An asset that is not there ends the call as an assertion of that time did: no reason, and all gas is gone.
    function _asset(uint256 id) internal view returns (Asset storage) {
        if (id >= _assets.length) {
            assembly ("memory-safe") {
                invalid()
            }
        }
        return _assets[id];
    }

    function _initGeneral(uint256 id, address smartMeter, address assetOwner, uint256 since, bool active) internal {
        require(isRole(Role.AssetManager, assetOwner));
        Asset storage asset = _asset(id);
        (asset.smartMeter, asset.owner, asset.operationalSince) = (smartMeter, assetOwner, since);
        // It begins anew, whatever it had been told.
        (asset.lastWh, asset.fileHash, asset.active, asset.general) = (0, 0, active, true);
    }

    function _complete(uint256 id) internal {
        Asset storage asset = _asset(id);
        if (!asset.general || !asset.located || asset.complete || !_described(asset)) return;
        asset.complete = true;
        asset.lastReceived = block.timestamp;
        emit LogAssetFullyInitialized(id);
    }

    /// Whether the registry has all that it wants of an asset beside general facts and location.
    function _described(Asset storage asset) internal view virtual returns (bool);

    /// Only the asset's meter, and only while it is active; neither refusal has a reason.
    function _reading(uint256 id) internal view returns (Asset storage asset) {
        asset = _asset(id);
        require(msg.sender == asset.smartMeter);
        require(asset.active);
    }

    /// Whatever it is told is stored: a lower total as well.
    function _store(Asset storage asset, uint256 total, bytes32 fileHash) internal {
        (asset.lastWh, asset.fileHash, asset.lastReceived) = (total, fileHash, block.timestamp);
    }
}

contract OriginAProducing is OriginAAssets {
    struct Properties {
        uint256 assetType;
        uint256 certificatesWh;
        uint256 co2;
        uint256 co2Used;
        uint256 compliance;
        bytes32 otherGreenAttributes;
        bytes32 typeOfPublicSupport;
    }

    enum AssetType { Wind, Solar, RunRiverHydro, BiomassGas }
    enum Compliance { none, IREC, EEC, TIGR }

    mapping(uint256 => Properties) private _properties;

    event LogNewMeterRead(
        uint256 indexed _assetId,
        bytes32 indexed _fileHash,
        uint256 _oldMeterRead,
        uint256 _newMeterRead,
        bool _smartMeterDown,
        uint256 _certificatesCreatedForWh,
        uint256 _oldCO2OffsetReading,
        uint256 _newCO2OffsetReading,
        bool _serviceDown
    );

    constructor(OriginA coo) OriginARoles(coo) {}

    function initGeneral(uint256 id, address smartMeter, address assetOwner, uint256 since, bool active)
        external
        onlyRole(Role.AssetAdmin)
    {
        _initGeneral(id, smartMeter, assetOwner, since, active);
        _complete(id);
    }

    function _described(Asset storage asset) internal view override returns (bool) {
        return asset.capacityWh > 0;
    }

    function initProducingProperties(
        uint256 id,
        AssetType assetType,
        uint256 capacityWh,
        Compliance compliance,
        bytes32 otherGreenAttributes,
        bytes32 typeOfPublicSupport
    ) external onlyRole(Role.AssetAdmin) {
        _asset(id).capacityWh = capacityWh;
        _properties[id] = Properties({
            assetType: uint256(assetType),
            certificatesWh: 0,
            co2: 0,
            co2Used: 0,
            compliance: uint256(compliance),
            otherGreenAttributes: otherGreenAttributes,
            typeOfPublicSupport: typeOfPublicSupport
        });
        _complete(id);
    }

    /// The event comes before anything is stored, so it tells what was there before.
    function saveSmartMeterRead(
        uint256 id,
        uint256 total,
        bool down,
        bytes32 fileHash,
        uint256 co2,
        bool co2Down
    ) external {
        Asset storage asset = _reading(id);
        Properties storage known = _properties[id];
        emit LogNewMeterRead(id, fileHash, asset.lastWh, total, down, known.certificatesWh, known.co2, co2, co2Down);
        known.co2 = co2;
        _store(asset, total, fileHash);
    }

    function getAssetGeneral(uint256 id)
        external
        view
        returns (
            address smartMeter,
            address owner,
            uint256 operationalSince,
            uint256 lastSmartMeterReadWh,
            bool active,
            bytes32 lastSmartMeterReadFileHash
        )
    {
        Asset storage asset = _asset(id);
        return (asset.smartMeter, asset.owner, asset.operationalSince, asset.lastWh, asset.active, asset.fileHash);
    }

    function getAssetProducingProperties(uint256 id)
        external
        view
        returns (
            uint256 assetType,
            uint256 capacityWh,
            uint256 certificatesCreatedForWh,
            uint256 lastSmartMeterCO2OffsetRead,
            uint256 cO2UsedForCertificate,
            uint256 registryCompliance,
            bytes32 otherGreenAttributes,
            bytes32 typeOfPublicSupport
        )
    {
        Properties storage known = _properties[id];
        (assetType, capacityWh, certificatesCreatedForWh) =
            (known.assetType, _asset(id).capacityWh, known.certificatesWh);
        (lastSmartMeterCO2OffsetRead, cO2UsedForCertificate) = (known.co2, known.co2Used);
        (registryCompliance, otherGreenAttributes, typeOfPublicSupport) =
            (known.compliance, known.otherGreenAttributes, known.typeOfPublicSupport);
    }
}

contract OriginAConsuming is OriginAAssets {
    mapping(uint256 => bool) private _maxCapacitySet;
    mapping(uint256 => uint256) private _certificatesWh;

    event LogNewMeterRead(
        uint256 indexed _assetId,
        bytes32 indexed _fileHash,
        uint256 _oldMeterRead,
        uint256 _newMeterRead,
        uint256 _certificatesUsedForWh,
        bool _smartMeterDown
    );

    constructor(OriginA coo) OriginARoles(coo) {}

    function initGeneral(
        uint256 id,
        address smartMeter,
        address assetOwner,
        uint256 since,
        uint256 capacityWh,
        bool maxCapacitySet,
        bool active
    ) external onlyRole(Role.AssetAdmin) {
        _initGeneral(id, smartMeter, assetOwner, since, active);
        _asset(id).capacityWh = capacityWh;
        _maxCapacitySet[id] = maxCapacitySet;
        _certificatesWh[id] = 0;
        _complete(id);
    }

    function _described(Asset storage) internal pure override returns (bool) {
        return true;
    }

    /// Hash and flag stand the other way round than in the producing registry.
    function saveSmartMeterRead(uint256 id, uint256 total, bytes32 fileHash, bool down) external {
        Asset storage asset = _reading(id);
        emit LogNewMeterRead(id, fileHash, asset.lastWh, total, _certificatesWh[id], down);
        _store(asset, total, fileHash);
    }

    /// The capacity stands where the producing registry has the total.
    function getAssetGeneral(uint256 id)
        external
        view
        returns (
            address smartMeter,
            address owner,
            uint256 operationalSince,
            uint256 capacityWh,
            bool maxCapacitySet,
            uint256 lastSmartMeterReadWh,
            uint256 certificatesUsedForWh,
            bool active,
            bytes32 lastSmartMeterReadFileHash
        )
    {
        Asset storage asset = _asset(id);
        (smartMeter, owner, operationalSince) = (asset.smartMeter, asset.owner, asset.operationalSince);
        (capacityWh, maxCapacitySet, lastSmartMeterReadWh) = (asset.capacityWh, _maxCapacitySet[id], asset.lastWh);
        (certificatesUsedForWh, active, lastSmartMeterReadFileHash) =
            (_certificatesWh[id], asset.active, asset.fileHash);
    }
}
