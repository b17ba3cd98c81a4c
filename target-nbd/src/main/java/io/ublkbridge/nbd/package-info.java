/// The NBD client: block devices from exports of Network Block Device servers.
///
/// References to a "spec" are to the protocol document of the NetworkBlockDevice project,
/// `doc/proto.md`, and for URIs to its `doc/uri.md`. Two phases, two sets of classes: the handshake
/// ([io.ublkbridge.nbd.HandshakeHandler] frames, [io.ublkbridge.nbd.OptionHaggling] decides) ends
/// in an [io.ublkbridge.nbd.ExportInfo]; the transmission phase ([io.ublkbridge.nbd.NbdConnection])
/// encodes requests and decodes replies on the event loop of the queue that it serves.
@NullMarked
package io.ublkbridge.nbd;

import org.jspecify.annotations.NullMarked;
