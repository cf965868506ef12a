// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "health/tunnel_packet.h"

#include <netinet/in.h>

#include <algorithm>

namespace anycast::health {

namespace {

constexpr std::uint8_t kTtl = 64;
constexpr std::uint16_t kGueSource = 64511;
constexpr std::size_t kIp4 = 20, kIp6 = 40, kTcp = 20, kUdp = 8, kEcho = 8;
constexpr std::uint16_t kWindow = 65535;
constexpr std::uint8_t kMssOption = 2;
constexpr std::uint8_t kEcho4 = 8, kEchoReply4 = 0, kEcho6 = 128, kEchoReply6 = 129;

void put16(Bytes &bytes, std::size_t at, std::uint32_t value)
{
	bytes[at] = static_cast<std::uint8_t>(value >> 8);
	bytes[at + 1] = static_cast<std::uint8_t>(value);
}

void put32(Bytes &bytes, std::size_t at, std::uint32_t value)
{
	put16(bytes, at, value >> 16);
	put16(bytes, at + 2, value & 0xffff);
}

std::uint32_t get16(std::span<const std::uint8_t> bytes, std::size_t at)
{
	return bytes[at] * 256u + bytes[at + 1];
}

std::uint32_t get32(std::span<const std::uint8_t> bytes, std::size_t at)
{
	return get16(bytes, at) << 16 | get16(bytes, at + 2);
}

std::uint32_t sum_of(std::span<const std::uint8_t> bytes)
{
	std::uint32_t sum = 0;
	for (std::size_t i = 0; i < bytes.size(); i++)
		sum += i % 2 == 0 ? bytes[i] * 256u : bytes[i];
	return sum;
}

std::uint32_t folded(std::uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return ~(sum + (sum >> 16)) & 0xffff;
}

std::span<const std::uint8_t> wire_bytes(const Address &address)
{
	const std::span<const std::uint8_t> all(address.bytes());
	return address.is_v4() ? all.subspan(12) : all;
}

Bytes ip_packet(const Address &from, const Address &to, std::uint8_t protocol, const Bytes &payload)
{
	const bool v4 = to.is_v4();
	Bytes packet(v4 ? kIp4 : kIp6);
	const std::size_t addresses = v4 ? 12 : 8;
	std::ranges::copy(v4 && !from.is_v4() ? wire_bytes(Address::v4(0)) : wire_bytes(from),
			  packet.begin() + static_cast<std::ptrdiff_t>(addresses));
	std::ranges::copy(wire_bytes(to),
			  packet.begin() + static_cast<std::ptrdiff_t>(addresses + (v4 ? 4 : 16)));
	if (v4) {
		packet[0] = 0x45;
		put16(packet, 2, static_cast<std::uint32_t>(kIp4 + payload.size()));
		put16(packet, 6, 0x4000); // DF, as the data path sets it
		packet[8] = kTtl;
		packet[9] = protocol;
		put16(packet, 10, folded(sum_of(packet)));
	} else {
		packet[0] = 0x60;
		put16(packet, 4, static_cast<std::uint32_t>(payload.size()));
		packet[6] = protocol;
		packet[7] = kTtl;
	}
	packet.insert(packet.end(), payload.begin(), payload.end());
	return packet;
}

std::uint32_t transport_checksum(const InnerFlow &flow, std::uint8_t protocol, const Bytes &payload)
{
	return folded(sum_of(wire_bytes(flow.source)) + sum_of(wire_bytes(flow.vip)) + protocol +
		      static_cast<std::uint32_t>(payload.size()) + sum_of(payload));
}

// What is behind the IP header, without the frame's padding; empty: not to be read.
std::span<const std::uint8_t> open_ip(std::span<const std::uint8_t> packet, TunnelAnswer &answer)
{
	if (packet.size() >= kIp4 && packet[0] >> 4 == 4) {
		const std::size_t header = (packet[0] & 15u) * 4, length = get16(packet, 2);
		if (header < kIp4 || length < header || length > packet.size() ||
		    get16(packet, 6) & 0x3fff)
			return {};
		answer.protocol = packet[9];
		answer.flow.vip = Address::v4(get32(packet, 12));
		answer.flow.source = Address::v4(get32(packet, 16));
		return packet.subspan(header, length - header);
	}
	if (packet.size() < kIp6 || packet[0] >> 4 != 6 || kIp6 + get16(packet, 4) > packet.size())
		return {};
	answer.protocol = packet[6];
	ax_addr raw{};
	std::copy_n(packet.data() + 8, 16, reinterpret_cast<std::uint8_t *>(&raw));
	answer.flow.vip = Address(raw);
	std::copy_n(packet.data() + 24, 16, reinterpret_cast<std::uint8_t *>(&raw));
	answer.flow.source = Address(raw);
	return packet.subspan(kIp6, get16(packet, 4));
}

std::uint16_t mss_in(std::span<const std::uint8_t> options)
{
	while (options.size() >= 2 && options[0] != 0) {
		const std::size_t length = options[0] == 1 ? 1 : options[1];
		if (options[0] != 1 && (length < 2 || length > options.size()))
			return 0;
		if (options[0] == kMssOption && length == 4)
			return static_cast<std::uint16_t>(get16(options, 2));
		options = options.subspan(length);
	}
	return 0;
}

bool read_tcp(std::span<const std::uint8_t> segment, TunnelAnswer &answer)
{
	if (segment.size() < kTcp)
		return false;
	const std::size_t header = (segment[12] >> 4) * std::size_t{4};
	if (header < kTcp || header > segment.size())
		return false;
	answer.sequence = get32(segment, 4);
	answer.acknowledged = get32(segment, 8);
	answer.flags = segment[13];
	answer.mss = mss_in(segment.subspan(kTcp, header - kTcp));
	answer.payload = segment.subspan(header);
	return true;
}

bool read_echo(std::span<const std::uint8_t> message, TunnelAnswer &answer)
{
	if (message.size() < kEcho || message[1] != 0 ||
	    message[0] != (answer.protocol == IPPROTO_ICMP ? kEchoReply4 : kEchoReply6))
		return false;
	answer.flow.source_port = static_cast<std::uint16_t>(get16(message, 4));
	answer.sequence = get16(message, 6);
	return true;
}

} // namespace

Bytes tcp_packet(const InnerFlow &flow, const Segment &segment)
{
	const std::size_t header = kTcp + (segment.mss != 0 ? 4 : 0);
	Bytes bytes(header);
	bytes.insert(bytes.end(), segment.payload.begin(), segment.payload.end());
	put16(bytes, 0, flow.source_port);
	put16(bytes, 2, flow.vip_port);
	put32(bytes, 4, segment.sequence);
	put32(bytes, 8, segment.acknowledged);
	bytes[12] = static_cast<std::uint8_t>(header / 4 << 4);
	bytes[13] = segment.flags;
	put16(bytes, 14, segment.flags & kTcpReset ? 0 : kWindow);
	if (segment.mss != 0) {
		bytes[kTcp] = kMssOption;
		bytes[kTcp + 1] = 4;
		put16(bytes, kTcp + 2, segment.mss);
	}
	put16(bytes, 16, transport_checksum(flow, IPPROTO_TCP, bytes));
	return ip_packet(flow.source, flow.vip, IPPROTO_TCP, bytes);
}

Bytes udp_packet(const InnerFlow &flow, std::span<const std::uint8_t> payload)
{
	Bytes datagram(kUdp);
	datagram.insert(datagram.end(), payload.begin(), payload.end());
	put16(datagram, 0, flow.source_port);
	put16(datagram, 2, flow.vip_port);
	put16(datagram, 4, static_cast<std::uint32_t>(datagram.size()));
	const std::uint32_t sum = transport_checksum(flow, IPPROTO_UDP, datagram);
	put16(datagram, 6, sum == 0 ? 0xffff : sum); // RFC 768: 0 is "none"
	return ip_packet(flow.source, flow.vip, IPPROTO_UDP, datagram);
}

Bytes echo_packet(const InnerFlow &flow, std::uint16_t number)
{
	const bool v4 = flow.vip.is_v4();
	Bytes message(kEcho);
	message[0] = v4 ? kEcho4 : kEcho6;
	put16(message, 4, flow.source_port);
	put16(message, 6, number);
	put16(message, 2,
	      v4 ? folded(sum_of(message)) : transport_checksum(flow, IPPROTO_ICMPV6, message));
	return ip_packet(flow.source, flow.vip,
			 v4 ? std::uint8_t{IPPROTO_ICMP} : std::uint8_t{IPPROTO_ICMPV6}, message);
}

Bytes in_tunnel(const Address &source, const Address &backend, const Bytes &inner,
		std::uint16_t gue_port)
{
	if (gue_port == 0)
		return ip_packet(source, backend, inner[0] >> 4 == 4 ? IPPROTO_IPIP : IPPROTO_IPV6,
				 inner);
	Bytes datagram(kUdp);
	datagram.insert(datagram.end(), inner.begin(), inner.end());
	put16(datagram, 0, kGueSource);
	put16(datagram, 2, gue_port);
	put16(datagram, 4, static_cast<std::uint32_t>(datagram.size()));
	if (!backend.is_v4()) { // over IPv4 none, as the data path does it; RFC 8200 wants one
		const std::uint32_t sum = transport_checksum({.source = source, .vip = backend},
							     IPPROTO_UDP, datagram);
		put16(datagram, 6, sum == 0 ? 0xffff : sum);
	}
	return ip_packet(source, backend, IPPROTO_UDP, datagram);
}

std::optional<TunnelAnswer> parse_answer(std::span<const std::uint8_t> packet)
{
	TunnelAnswer answer;
	const auto inside = open_ip(packet, answer);
	if (answer.protocol == IPPROTO_ICMP || answer.protocol == IPPROTO_ICMPV6)
		return read_echo(inside, answer) ? std::optional(answer) : std::nullopt;
	if (inside.size() < kUdp)
		return std::nullopt;
	answer.flow.vip_port = static_cast<std::uint16_t>(get16(inside, 0));
	answer.flow.source_port = static_cast<std::uint16_t>(get16(inside, 2));
	answer.payload = inside.subspan(kUdp);
	if (answer.protocol == IPPROTO_UDP ||
	    (answer.protocol == IPPROTO_TCP && read_tcp(inside, answer)))
		return answer;
	return std::nullopt;
}

} // namespace anycast::health
