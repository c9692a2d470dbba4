// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// Energy Web Origin, release B (2019), as a meter and an asset's manager meet it: functions, events, texts and traps of
/// energywebfoundation/ew-asset-registry-contracts and ew-user-registry-contracts in code of our own. This one is the
/// AssetContractLookup; whoever makes it is a UserAdmin.
contract OriginB {
    OriginBUsers public immutable userRegistry;
    OriginBProducing public immutable assetProducingRegistry;
    OriginBConsuming public immutable assetConsumingRegistry;
    uint256 public constant maxMatcherPerAsset = 10;

    constructor() {
        userRegistry = new OriginBUsers(msg.sender);
        assetProducingRegistry = new OriginBProducing(this);
        assetConsumingRegistry = new OriginBConsuming(this);
    }
}

/// Roles are bits, other ones than in release A: UserAdmin 1, AssetAdmin 2, AgreementAdmin 4, AssetManager 8, Trader 16,
/// Matcher 32.
enum Role { UserAdmin, AssetAdmin, AgreementAdmin, AssetManager, Trader, Matcher }

contract OriginBUsers {
    struct User {
        string organization;
        uint256 roles;
        bool active;
    }

    mapping(address => User) private _users;

    constructor(address admin) {
        _users[admin].roles = 1 << uint256(Role.UserAdmin);
    }

    modifier onlyUserAdmin() {
        require(isRole(Role.UserAdmin, msg.sender), "user does not have the required role");
        _;
    }

    function isRole(Role role, address who) public view returns (bool) {
        return _users[who].roles & (1 << uint256(role)) != 0;
    }

    function setUser(address user, string calldata organization) external onlyUserAdmin {
        require(bytes(organization).length > 0, "empty string");
        _users[user].organization = organization;
        _users[user].active = true;
    }

    function setRoles(address user, uint256 rights) external onlyUserAdmin {
        require(_users[user].active, "User does not exist");
        _users[user].roles = rights;
    }

    function getFullUser(address user) external view returns (string memory organization, uint256 roles, bool active) {
        User storage found = _users[user];
        return (found.organization, found.roles, found.active);
    }

    function doesUserExist(address user) external view returns (bool) {
        return _users[user].active;
    }

    function getRolesRights(address user) external view returns (uint256) {
        return _users[user].roles;
    }
}

abstract contract OriginBAssets {
    struct Asset {
        address smartMeter;
        address owner;
        uint256 lastWh;
        bool active;
        string fileHash;
        address[] matcher;
        string propertiesDocumentHash;
        string url;
    }

    OriginB public immutable lookup;
    Asset[] private _assets;
    mapping(address => bool) private _known;

    event LogAssetCreated(address _sender, uint256 indexed _assetId);
    event LogAssetSetActive(uint256 indexed _assetId);
    event LogAssetSetInactive(uint256 indexed _assetId);
    event LogNewMeterRead(uint256 indexed _assetId, uint256 _oldMeterRead, uint256 _newMeterRead);

    constructor(OriginB found) {
        lookup = found;
    }

    function isRole(Role role, address who) public view returns (bool) {
        return lookup.userRegistry().isRole(role, who);
    }

    function setActive(uint256 id, bool active) external {
        require(isRole(Role.AssetAdmin, msg.sender), "user does not have the required role");
        _asset(id).active = active;
        if (active) emit LogAssetSetActive(id);
        else emit LogAssetSetInactive(id);
    }

    /// The total must be above the last one, so that a first one of 0 is refused as well.
    function saveSmartMeterRead(uint256 id, uint256 total, string calldata fileHash) external {
        Asset storage asset = _asset(id);
        require(asset.smartMeter == msg.sender, "saveSmartMeterRead: wrong sender");
        require(asset.active, "saveSmartMeterRead: asset not active");
        uint256 before = asset.lastWh;
        require(total > before, "saveSmartMeterRead: meterread too low");
        (asset.lastWh, asset.fileHash) = (total, fileHash);
        emit LogNewMeterRead(id, before, total);
    }

    function getLastMeterReadingAndHash(uint256 id)
        external
        view
        returns (uint256 _lastSmartMeterReadWh, string memory _lastSmartMeterReadFileHash)
    {
        Asset storage asset = _asset(id);
        return (asset.lastWh, asset.fileHash);
    }

    function getAssetOwner(uint256 id) external view returns (address) {
        return _asset(id).owner;
    }

    function getAssetListLength() external view returns (uint256) {
        return _assets.length;
    }

    function getAssetGeneral(uint256 id)
        external
        view
        returns (
            address smartMeter,
            address owner,
            uint256 lastSmartMeterReadWh,
            bool active,
            string memory lastSmartMeterReadFileHash,
            address[] memory matcher,
            string memory propertiesDocumentHash,
            string memory url,
            address marketLookupContract,
            bool bundled
        )
    {
        Asset storage asset = _asset(id);
        (smartMeter, owner, lastSmartMeterReadWh, active) = (asset.smartMeter, asset.owner, asset.lastWh, asset.active);
        (lastSmartMeterReadFileHash, matcher) = (asset.fileHash, asset.matcher);
        (propertiesDocumentHash, url) = (asset.propertiesDocumentHash, asset.url);
        (marketLookupContract, bundled) = (address(0), false);
    }

    function checkAssetExist(address smartMeter) public view returns (bool) {
        return _known[smartMeter];
    }

    /// One asset for each meter's account; what the caller says of its being active is not looked at.
    function _create(
        address smartMeter,
        address assetOwner,
        address[] calldata matcher,
        string calldata propertiesDocumentHash,
        string calldata url
    ) internal returns (uint256 id) {
        require(matcher.length <= lookup.maxMatcherPerAsset(), "addMatcher: too many matcher already");
        require(isRole(Role.AssetManager, assetOwner), "user does not have the required role");
        require(isRole(Role.AssetAdmin, msg.sender), "user does not have the required role");
        require(!checkAssetExist(smartMeter), "smartmeter does already exist");
        id = _assets.length;
        Asset storage asset = _assets.push();
        (asset.smartMeter, asset.owner, asset.active, asset.matcher) = (smartMeter, assetOwner, true, matcher);
        (asset.propertiesDocumentHash, asset.url) = (propertiesDocumentHash, url);
        _known[smartMeter] = true;
        emit LogAssetCreated(msg.sender, id);
    }

    /// As in release A, an asset that is not there ends the call without a reason.
    function _asset(uint256 id) private view returns (Asset storage) {
        if (id >= _assets.length) {
            assembly ("memory-safe") {
                invalid()
            }
        }
        return _assets[id];
    }
}

contract OriginBProducing is OriginBAssets {
    constructor(OriginB found) OriginBAssets(found) {}

    function createAsset(
        address smartMeter,
        address assetOwner,
        bool,
        address[] calldata matcher,
        string calldata propertiesDocumentHash,
        string calldata url,
        uint256
    ) external returns (uint256) {
        return _create(smartMeter, assetOwner, matcher, propertiesDocumentHash, url);
    }
}

contract OriginBConsuming is OriginBAssets {
    constructor(OriginB found) OriginBAssets(found) {}

    function createAsset(
        address smartMeter,
        address assetOwner,
        bool,
        address[] calldata matcher,
        string calldata propertiesDocumentHash,
        string calldata url
    ) external returns (uint256) {
        return _create(smartMeter, assetOwner, matcher, propertiesDocumentHash, url);
    }
}
