// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Test packets that read like sentences:
//
//   Packet p = Eth{} / Vlan{100} / Ip4{.dst = "198.51.100.80", .ttl = 254}
//            / Tcp{.dport = 179, .flags = kSyn, .options = join({mss(1460), sack_permitted()})}
//            / Payload(100);
//
// Fields left alone are filled in so that the packet is right: ethertypes, next protocols, lengths,
// header lengths, checksums. A field that is given is written as given, however wrong it is.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace anycast::test {

using Bytes = std::vector<std::uint8_t>;

inline constexpr std::uint8_t kFin = 0x01, kSyn = 0x02, kRst = 0x04, kPsh = 0x08, kAck = 0x10,
			      kUrg = 0x20, kEce = 0x40, kCwr = 0x80;

inline constexpr std::uint8_t kHopByHop = 0, kRouting = 43, kAuthentication = 51, kNoNext = 59,
			      kDestination = 60, kMobility = 135;

struct Eth {
	std::string dst = "02:00:00:00:00:02";
	std::string src = "02:00:00:00:00:01";
	std::optional<std::uint16_t> ethertype{};
};

struct Vlan {
	std::uint16_t id = 0;
	std::uint8_t priority = 0;
	bool dei = false;
	std::uint16_t tpid = 0x8100;		  // what the layer before says it is
	std::optional<std::uint16_t> ethertype{}; // of what follows
};

struct Arp {
	std::uint16_t op = 1;
	std::string sender_mac = "02:00:00:00:00:01";
	std::string sender = "203.0.113.5";
	std::string target_mac = "00:00:00:00:00:00";
	std::string target = "198.51.100.80";
};

struct Ip4 {
	std::string src = "203.0.113.5";
	std::string dst = "198.51.100.80";
	std::uint8_t version = 4;
	std::optional<std::uint8_t> ihl{}; // 32-bit words
	std::uint8_t tos = 0;
	std::optional<std::uint16_t> total_length{};
	std::uint16_t id = 1;
	bool evil = false; // the reserved flag, RFC 3514
	bool df = false;
	bool mf = false;
	std::uint16_t offset = 0; // in units of 8 bytes
	std::uint8_t ttl = 64;
	std::optional<std::uint8_t> protocol{};
	std::optional<std::uint16_t> checksum{};
	Bytes options{}; // padded with zeros to whole words
};

struct Ip6 {
	std::string src = "2001:db8::5";
	std::string dst = "2001:db8::80";
	std::uint8_t version = 6;
	std::uint8_t traffic_class = 0;
	std::uint32_t flow_label = 0;
	std::optional<std::uint16_t> payload_length{};
	std::optional<std::uint8_t> next_header{};
	std::uint8_t hop_limit = 64;
};

// Any extension header but the fragment header; padded (options headers: with PadN) to whole units.
struct Ip6Ext {
	std::uint8_t kind = kDestination;
	std::optional<std::uint8_t> next_header{};
	std::optional<std::uint8_t> length{}; // 8-byte units less one; AH: words less two
	std::uint8_t routing_type = 4;	      // kind kRouting
	std::uint8_t segments_left = 0;	      // kind kRouting
	Bytes body{};			      // after the length, routing type and segments left
};

struct Ip6Frag {
	std::uint16_t offset = 0; // in units of 8 bytes
	bool mf = false;
	std::uint32_t id = 1;
	std::optional<std::uint8_t> next_header{};
};

struct Tcp {
	std::uint16_t sport = 40000;
	std::uint16_t dport = 80;
	std::uint32_t seq = 1;
	std::uint32_t ack = 0;
	std::optional<std::uint8_t> data_offset{}; // 32-bit words
	std::uint8_t flags = kAck;
	std::uint16_t window = 65535;
	std::optional<std::uint16_t> checksum{};
	std::uint16_t urgent = 0;
	Bytes options{}; // padded with zeros to whole words
};

struct Udp {
	std::uint16_t sport = 40000;
	std::uint16_t dport = 53;
	std::optional<std::uint16_t> length{};
	std::optional<std::uint16_t> checksum{};
};

struct Icmp4 {
	std::uint8_t type = 8;
	std::uint8_t code = 0;
	std::optional<std::uint16_t> checksum{};
	std::uint16_t id = 0;
	std::uint16_t seq = 0; // of type 3 code 4: the next hop's MTU, RFC 1191
};

struct Icmp6 {
	std::uint8_t type = 128;
	std::uint8_t code = 0;
	std::optional<std::uint16_t> checksum{};
	std::uint16_t id = 0;
	std::uint16_t seq = 0;
	std::optional<std::uint32_t> mtu{}; // instead of id and seq: packet too big
};

struct Raw {
	Bytes bytes{};
};

struct Payload {
	explicit Payload(std::size_t size); // 0, 1, 2, ...
	explicit Payload(std::string_view text);
	Bytes bytes;
};

using Layer = std::variant<Eth, Vlan, Arp, Ip4, Ip6, Ip6Ext, Ip6Frag, Tcp, Udp, Icmp4, Icmp6, Raw,
			   Payload>;

template <typename T>
concept LayerType = !std::same_as<T, class Packet> && std::constructible_from<Layer, T>;

// Has no begin() and end(): gtest would print it as a container.
class Packet {
public:
	Packet() = default;
	template <LayerType T>
	Packet(T layer) : layers_{Layer(std::move(layer))} // NOLINT: "Packet p = Raw{...}"
	{
		build();
	}
	explicit Packet(std::vector<Layer> layers) : layers_(std::move(layers)) { build(); }
	// Spaces, newlines and colons are skipped; throws std::invalid_argument on anything else.
	static Packet from_hex(std::string_view hex);

	[[nodiscard]] const Bytes &bytes() const { return bytes_; }
	[[nodiscard]] const std::uint8_t *data() const { return bytes_.data(); }
	[[nodiscard]] std::size_t size() const { return bytes_.size(); }
	[[nodiscard]] std::uint8_t operator[](std::size_t at) const { return bytes_.at(at); }
	operator std::span<const std::uint8_t>() const { return bytes_; } // NOLINT: it is one

	// Changed copies.
	[[nodiscard]] Packet truncate(std::size_t length) const; // at most that long
	[[nodiscard]] Packet pad(std::size_t length) const;	 // zeros behind, at least that long
	[[nodiscard]] Packet with_byte(std::size_t at, std::uint8_t value) const;
	// Part of it as a layer: what an ICMP error quotes.
	[[nodiscard]] Raw slice(std::size_t from, std::size_t length = SIZE_MAX) const;

	[[nodiscard]] std::string hex() const;	// one line
	[[nodiscard]] std::string dump() const; // 16 bytes a line with offsets

	friend Packet operator/(Packet left, const Packet &right);
	friend bool operator==(const Packet &a, const Packet &b) { return a.bytes_ == b.bytes_; }

private:
	void build();
	std::vector<Layer> layers_;
	Bytes bytes_;
};

Packet operator/(Packet left, const Packet &right);
template <LayerType A, LayerType B> Packet operator/(A left, B right)
{
	return Packet(std::vector<Layer>{Layer(std::move(left)), Layer(std::move(right))});
}

std::ostream &operator<<(std::ostream &out, const Packet &packet);

// ---- options: IPv4 and TCP share the form kind, length, data ------------------------------------

Bytes join(std::initializer_list<Bytes> parts);
Bytes option(std::uint8_t kind, const Bytes &data); // length filled in
Bytes nop();
Bytes mss(std::uint16_t value);
Bytes window_scale(std::uint8_t shift);
Bytes sack_permitted();
Bytes sack(std::initializer_list<std::pair<std::uint32_t, std::uint32_t>> blocks);
Bytes timestamps(std::uint32_t value, std::uint32_t echo);

// The Internet checksum, RFC 1071: 0 over a header whose checksum is right.
std::uint16_t internet_checksum(std::span<const std::uint8_t> bytes, std::uint32_t sum = 0);

} // namespace anycast::test
