// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// The registry of ERC-1056 (eips.ethereum.org/EIPS/eip-1056), as it stands on the Energy Web Chain and Volta, in code of
/// our own. An identity is an account, its own owner until that is changed. What is known of it are the events, each of
/// which names the block of the one before. A change is made by the owner's transaction, or by anybody's that brings the
/// owner's signature over keccak256(0x19 0x00, registry, nonce of the owner, identity, function, arguments). Refusals have
/// the texts of ethr-did-registry 1.x; older ones on a chain have none.
contract EthereumDIDRegistry {
    mapping(address => address) public owners;
    mapping(address => mapping(bytes32 => mapping(address => uint256))) public delegates;
    mapping(address => uint256) public changed;
    mapping(address => uint256) public nonce;

    event DIDOwnerChanged(address indexed identity, address owner, uint256 previousChange);
    event DIDDelegateChanged(
        address indexed identity, bytes32 delegateType, address delegate, uint256 validTo, uint256 previousChange
    );
    event DIDAttributeChanged(
        address indexed identity, bytes32 name, bytes value, uint256 validTo, uint256 previousChange
    );

    function identityOwner(address identity) public view returns (address) {
        address found = owners[identity];
        return found == address(0) ? identity : found;
    }

    function validDelegate(address identity, bytes32 delegateType, address delegate) external view returns (bool) {
        return delegates[identity][keccak256(abi.encode(delegateType))][delegate] > block.timestamp;
    }

    function changeOwner(address identity, address newOwner) external {
        _require(identity);
        _changeOwner(identity, newOwner);
    }

    function changeOwnerSigned(address identity, uint8 v, bytes32 r, bytes32 s, address newOwner) external {
        _requireSigned(identity, v, r, s, abi.encodePacked("changeOwner", newOwner));
        _changeOwner(identity, newOwner);
    }

    function addDelegate(address identity, bytes32 delegateType, address delegate, uint256 validity) external {
        _require(identity);
        _setDelegate(identity, delegateType, delegate, block.timestamp + validity);
    }

    function addDelegateSigned(
        address identity,
        uint8 v,
        bytes32 r,
        bytes32 s,
        bytes32 delegateType,
        address delegate,
        uint256 validity
    ) external {
        _requireSigned(identity, v, r, s, abi.encodePacked("addDelegate", delegateType, delegate, validity));
        _setDelegate(identity, delegateType, delegate, block.timestamp + validity);
    }

    function revokeDelegate(address identity, bytes32 delegateType, address delegate) external {
        _require(identity);
        _setDelegate(identity, delegateType, delegate, block.timestamp);
    }

    function revokeDelegateSigned(
        address identity,
        uint8 v,
        bytes32 r,
        bytes32 s,
        bytes32 delegateType,
        address delegate
    ) external {
        _requireSigned(identity, v, r, s, abi.encodePacked("revokeDelegate", delegateType, delegate));
        _setDelegate(identity, delegateType, delegate, block.timestamp);
    }

    function setAttribute(address identity, bytes32 name, bytes memory value, uint256 validity) external {
        _require(identity);
        _setAttribute(identity, name, value, block.timestamp + validity);
    }

    function setAttributeSigned(
        address identity,
        uint8 v,
        bytes32 r,
        bytes32 s,
        bytes32 name,
        bytes memory value,
        uint256 validity
    ) external {
        _requireSigned(identity, v, r, s, abi.encodePacked("setAttribute", name, value, validity));
        _setAttribute(identity, name, value, block.timestamp + validity);
    }

    function revokeAttribute(address identity, bytes32 name, bytes memory value) external {
        _require(identity);
        _setAttribute(identity, name, value, 0);
    }

    function revokeAttributeSigned(
        address identity,
        uint8 v,
        bytes32 r,
        bytes32 s,
        bytes32 name,
        bytes memory value
    ) external {
        _requireSigned(identity, v, r, s, abi.encodePacked("revokeAttribute", name, value));
        _setAttribute(identity, name, value, 0);
    }

    function _require(address identity) private view {
        require(msg.sender == identityOwner(identity), "bad_actor");
    }

    function _requireSigned(address identity, uint8 v, bytes32 r, bytes32 s, bytes memory call) private {
        address owner = identityOwner(identity);
        bytes32 digest = keccak256(abi.encodePacked(hex"1900", address(this), nonce[owner], identity, call));
        require(ecrecover(digest, v, r, s) == owner, "bad_signature");
        nonce[owner]++;
    }

    function _changeOwner(address identity, address newOwner) private {
        owners[identity] = newOwner;
        emit DIDOwnerChanged(identity, newOwner, _previous(identity));
    }

    function _setDelegate(address identity, bytes32 delegateType, address delegate, uint256 validTo) private {
        delegates[identity][keccak256(abi.encode(delegateType))][delegate] = validTo;
        emit DIDDelegateChanged(identity, delegateType, delegate, validTo, _previous(identity));
    }

    function _setAttribute(address identity, bytes32 name, bytes memory value, uint256 validTo) private {
        emit DIDAttributeChanged(identity, name, value, validTo, _previous(identity));
    }

    /// The block of the change before this one, which this one's replaces.
    function _previous(address identity) private returns (uint256 block_) {
        block_ = changed[identity];
        changed[identity] = block.number;
    }
}
