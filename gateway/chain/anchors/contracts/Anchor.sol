// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// @title Anchors of verifiable logs: the size and the root of a Merkle tree (RFC 9162), as the log's owner states them.
///
/// An origin is the name of a log, a text such as "example.org/roof-7"; here it is the SHA-256 of that text. Nobody can
/// own a text: whoever wanted one would only have to be first. So a log is known by an account and an origin together:
/// log = keccak256(abi.encode(founder, origin)), which logOf() tells. A stranger who takes the same origin has another
/// log, changes nothing in this one and hinders nothing. A reader knows the founder's address, as he knows a key.
///
/// There are two forms. announce() leaves an event and stores nothing: the cheapest. Only the founder can emit it, since
/// the log is computed from the sender. anchor() and submit() also store the newest size and root, and refuse a size
/// that is not above it. So a log that was restored from an older copy cannot be anchored until it is longer than what
/// was seen of it, a transaction that is sent twice does nothing the second time, and other contracts can ask.
///
/// cid is the SHA-256 digest in the CIDv1 of the bundle that was anchored, or zero; the contract does not look at it.
contract Anchor {
    /// What an owner lets another account do: nothing, submit anything, or submit what the log's device signed.
    enum Right { None, Any, Signed }

    struct State {
        // Owner (160 bits), size (64) and block of the newest anchor (32), in one word, since they change together.
        uint256 head;
        bytes32 root;
    }

    mapping(bytes32 log => State) private _states;
    // By owner as well: who takes over a log takes over none of the former owner's relayers.
    mapping(bytes32 log => mapping(address owner => mapping(address relayer => Right))) private _rights;
    mapping(bytes32 log => bytes32) private _devices;
    mapping(bytes32 log => address) private _heirs;

    event Announced(bytes32 indexed log, uint64 size, bytes32 root, bytes32 cid);
    event Anchored(bytes32 indexed log, uint64 size, bytes32 root, bytes32 cid);
    /// The log has an owner from here on, who is its founder.
    event Opened(bytes32 indexed log, address indexed founder, bytes32 indexed origin);
    event RightSet(bytes32 indexed log, address indexed owner, address indexed relayer, Right right);
    event DeviceSet(bytes32 indexed log, bytes32 x, bytes32 y, string origin);
    event Offered(bytes32 indexed log, address indexed heir);
    event HandedOver(bytes32 indexed log, address indexed former, address indexed owner);

    /// The log was already anchored at size last.
    error NotGrowing(uint64 last, uint64 given);
    /// This account may not do this to this log.
    error NotAllowed(address sender);
    /// The log has an owner already.
    error AlreadyOpen(bytes32 log);
    /// The log has no device with this key and this origin.
    error NotDevice(bytes32 log);
    /// It is not the device's signature over this checkpoint.
    error NotSigned();
    /// This chain cannot check P-256 signatures (EIP-7951, RIP-7212).
    error NoPrecompile();

    /// Leaves an event under the log of the sender and origin. Nothing is stored, and nothing checked.
    function announce(bytes32 origin, uint64 size, bytes32 root, bytes32 cid) external {
        _end(Announced.selector, logOf(msg.sender, origin), size, root, cid);
    }

    /// Anchors the log of the sender and origin; the first time it opens it.
    function anchor(bytes32 origin, uint64 size, bytes32 root, bytes32 cid) external {
        bytes32 log = logOf(msg.sender, origin);
        uint256 head = _states[log].head;
        if (head == 0) {
            head = _found(log, origin);
        } else if (_owner(head) != msg.sender) {
            revert NotAllowed(msg.sender);
        }
        _grow(log, head, size, root, cid);
    }

    /// Anchors an open log, as its owner or as a relayer with Right.Any.
    function submit(bytes32 log, uint64 size, bytes32 root, bytes32 cid) external {
        uint256 head = _states[log].head;
        address owner = _owner(head);
        if (owner != msg.sender && _rights[log][owner][msg.sender] != Right.Any) revert NotAllowed(msg.sender);
        _grow(log, head, size, root, cid);
    }

    /// Anchors a checkpoint that the log's device signed, as the owner or as a relayer with either right: (r, s) is the
    /// ECDSA P-256 signature over the SHA-256 of checkpoint(origin, size, root), and (x, y) the device's key. The cid is
    /// the relayer's word only.
    function submitSigned(
        bytes32 log,
        uint64 size,
        bytes32 root,
        bytes32 cid,
        bytes32 r,
        bytes32 s,
        bytes32 x,
        bytes32 y,
        string calldata origin
    ) external {
        uint256 head = _states[log].head;
        address owner = _owner(head);
        if (owner != msg.sender && _rights[log][owner][msg.sender] == Right.None) revert NotAllowed(msg.sender);
        if (_devices[log] != _device(x, y, origin)) revert NotDevice(log);
        if (!verifyDevice(sha256(checkpoint(origin, size, root)), r, s, x, y)) revert NotSigned();
        _grow(log, head, size, root, cid);
    }

    /// Opens the log of the sender and origin without an anchor, so that relayers can make all of them.
    function open(bytes32 origin) external {
        bytes32 log = logOf(msg.sender, origin);
        if (_states[log].head != 0) revert AlreadyOpen(log);
        _states[log].head = _found(log, origin);
    }

    /// Gives the relayer that right to an open log, or takes it away with Right.None. For the owner.
    function setRight(bytes32 log, address relayer, Right right) external {
        _requireOwner(log);
        _rights[log][msg.sender][relayer] = right;
        emit RightSet(log, msg.sender, relayer, right);
    }

    /// Names the P-256 key of the device that signs the checkpoints of the log of founder and origin, here as text. The
    /// key (0, 0), under which no signature is good, takes it away. For the owner.
    function setDevice(address founder, string calldata origin, bytes32 x, bytes32 y) external {
        bytes32 log = logOf(founder, sha256(bytes(origin)));
        _requireOwner(log);
        _devices[log] = _device(x, y, origin);
        emit DeviceSet(log, x, y, origin);
    }

    /// Offers the log to the heir, who becomes its owner with accept(). The zero address takes an offer back.
    function offer(bytes32 log, address heir) external {
        _requireOwner(log);
        _heirs[log] = heir;
        emit Offered(log, heir);
    }

    /// Takes over a log that was offered to the sender. The former owner and his relayers have no more rights.
    function accept(bytes32 log) external {
        if (_heirs[log] != msg.sender) revert NotAllowed(msg.sender);
        delete _heirs[log];
        uint256 head = _states[log].head;
        _states[log].head = uint256(uint160(msg.sender)) << 96 | uint96(head);
        emit HandedOver(log, _owner(head), msg.sender);
    }

    /// The log of founder and origin: keccak256(abi.encode(founder, origin)).
    function logOf(address founder, bytes32 origin) public pure returns (bytes32 log) {
        // As that would do it, in a tenth of the gas; "origin" is an instruction's name here.
        bytes32 second = origin;
        assembly ("memory-safe") {
            mstore(0x00, shr(96, shl(96, founder)))
            mstore(0x20, second)
            log := keccak256(0x00, 0x40)
        }
    }

    /// The owner of the log, the size and root it was last anchored at, and the number of that block, in which the event
    /// is. All are zero for a log that is not open.
    function last(bytes32 log) external view returns (address owner, uint64 size, bytes32 root, uint32 blockNumber) {
        uint256 head = _states[log].head;
        return (_owner(head), uint64(head >> 32), _states[log].root, uint32(head));
    }

    /// What the present owner of the log lets that account do.
    function rightOf(bytes32 log, address relayer) external view returns (Right) {
        return _rights[log][_owner(_states[log].head)][relayer];
    }

    /// Whether entry is the one at index (from 0) of the log as it was last anchored. The proof is an inclusion proof
    /// for that size, the sibling of the leaf first.
    function verifyInclusion(bytes32 log, uint64 index, bytes calldata entry, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        return verifyInclusionIn(_states[log].root, uint64(_states[log].head >> 32), index, entry, proof);
    }

    /// The same for any tree of that size with that root, such as an older anchor (RFC 9162, section 2.1.3.2).
    function verifyInclusionIn(
        bytes32 root,
        uint64 size,
        uint64 index,
        bytes calldata entry,
        bytes32[] calldata proof
    ) public view returns (bool) {
        if (index >= size) return false;
        // The node on the way from the leaf to the root, and the last one of its level, counted from the left.
        uint256 node = index;
        uint256 rightmost = size - 1;
        bytes32 hash = sha256(abi.encodePacked(bytes1(0x00), entry));
        for (uint256 i = 0; i < proof.length; i++) {
            if (rightmost == 0) return false;
            if (node & 1 == 1 || node == rightmost) {
                hash = _node(proof[i], hash);
                // A node without a sibling is the one above it as well.
                while (node & 1 == 0 && node != 0) (node, rightmost) = (node >> 1, rightmost >> 1);
            } else {
                hash = _node(hash, proof[i]);
            }
            (node, rightmost) = (node >> 1, rightmost >> 1);
        }
        return rightmost == 0 && hash == root;
    }

    /// Whether (r, s) is an ECDSA P-256 signature over the SHA-256 digest by the key (x, y).
    function verifyDevice(bytes32 digest, bytes32 r, bytes32 s, bytes32 x, bytes32 y) public view returns (bool) {
        if (_verifyP256(digest, r, s, x, y)) return true;
        // A chain without the precompile answers as one with it does to a bad signature: with nothing. So it is asked
        // for a good one: RFC 6979, appendix A.2.5, P-256 with SHA-256, message "sample".
        bool there = _verifyP256(
            0xaf2bdbe1aa9b6ec1e2ade1d694f41fc71a831d0268e9891562113d8a62add1bf,
            0xefd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716,
            0xf7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8,
            0x60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6,
            0x7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299
        );
        if (!there) revert NoPrecompile();
        return false;
    }

    /// What a device signs (C2SP tlog-checkpoint): origin, size in decimal, root in base64, each with a newline.
    function checkpoint(string calldata origin, uint64 size, bytes32 root) public pure returns (bytes memory) {
        return bytes.concat(bytes(origin), "\n", _decimal(size), "\n", _base64(root), "\n");
    }

    function _found(bytes32 log, bytes32 origin) private returns (uint256 head) {
        emit Opened(log, msg.sender, origin);
        return uint256(uint160(msg.sender)) << 96;
    }

    function _grow(bytes32 log, uint256 head, uint64 size, bytes32 root, bytes32 cid) private {
        uint64 before = uint64(head >> 32);
        if (size <= before) revert NotGrowing(before, size);
        State storage state = _states[log];
        state.head = head >> 96 << 96 | uint256(size) << 32 | uint32(block.number);
        state.root = root;
        _end(Anchored.selector, log, size, root, cid);
    }

    /// Emits an event of size, root and cid, and ends the call.
    function _end(bytes32 topic, bytes32 log, uint64 size, bytes32 root, bytes32 cid) private {
        assembly ("memory-safe") {
            // Nothing reads the memory afterwards, so its beginning serves.
            mstore(0x00, size)
            mstore(0x20, root)
            mstore(0x40, cid)
            log2(0x00, 0x60, topic, log)
            stop()
        }
    }

    function _owner(uint256 head) private pure returns (address) {
        return address(uint160(head >> 96));
    }

    function _requireOwner(bytes32 log) private view {
        if (_owner(_states[log].head) != msg.sender) revert NotAllowed(msg.sender);
    }

    function _device(bytes32 x, bytes32 y, string calldata origin) private pure returns (bytes32) {
        return keccak256(abi.encode(x, y, origin));
    }

    function _verifyP256(bytes32 digest, bytes32 r, bytes32 s, bytes32 x, bytes32 y) private view returns (bool) {
        (bool done, bytes memory answer) = address(0x100).staticcall(abi.encode(digest, r, s, x, y));
        return done && answer.length == 32 && bytes32(answer) == bytes32(uint256(1));
    }

    /// sha256(abi.encodePacked(bytes1(0x01), left, right)), in half the gas.
    function _node(bytes32 left, bytes32 right) private view returns (bytes32 hash) {
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore8(at, 0x01)
            mstore(add(at, 0x01), left)
            mstore(add(at, 0x21), right)
            if iszero(staticcall(gas(), 0x02, at, 0x41, 0x00, 0x20)) { revert(0x00, 0x00) }
            hash := mload(0x00)
        }
    }

    function _decimal(uint64 number) private pure returns (bytes memory text) {
        uint256 digits = 1;
        for (uint256 rest = number / 10; rest != 0; rest /= 10) digits++;
        text = new bytes(digits);
        for (uint256 rest = number; digits != 0; rest /= 10) text[--digits] = bytes1(uint8(0x30 + rest % 10));
    }

    function _base64(bytes32 data) private pure returns (bytes memory text) {
        bytes memory alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        text = new bytes(44);
        text[43] = "=";
        assembly ("memory-safe") {
            // 43 characters of six bits, the last one of four and two zeros. The word that ends with character n of the
            // alphabet begins at n + 1.
            let at := add(text, 32)
            for { let end := add(at, 43) } lt(at, end) { at := add(at, 1) } {
                mstore8(at, mload(add(add(alphabet, 1), shr(250, data))))
                data := shl(6, data)
            }
        }
    }
}
