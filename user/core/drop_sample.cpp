// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/drop_sample.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace anycast {

namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::uint16_t kIp4 = 0x0800, kIp6 = 0x86dd, kVlan = 0x8100, kServiceVlan = 0x88a8;
constexpr std::size_t kMostTags = 4; // a display, not a judgement: more than are looked behind
constexpr int kMostHeaders = 16;

std::uint16_t word(Bytes bytes, std::size_t at)
{
	return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

bool has_ports(std::uint8_t protocol)
{
	return protocol == 6 || protocol == 17 || protocol == 132; // TCP, UDP, SCTP
}

void read_ports(Bytes upper, DropSample &into)
{
	if (!has_ports(*into.protocol) || upper.size() < 4)
		return;
	into.source_port = word(upper, 0);
	into.destination_port = word(upper, 2);
}

Bytes behind(Bytes bytes, std::size_t length)
{
	return bytes.subspan(std::min(length, bytes.size()));
}

void read_ip4(Bytes ip, DropSample &into)
{
	if (ip.size() < 20)
		return;
	const auto address = [&](std::size_t at) {
		return Address::v4(static_cast<std::uint32_t>(word(ip, at)) << 16 |
				   word(ip, at + 2));
	};
	into.source = address(12);
	into.destination = address(16);
	into.ttl = ip[8];
	into.protocol = ip[9];
	if ((word(ip, 6) & 0x1fff) == 0)
		read_ports(behind(ip, std::max<std::size_t>((ip[0] & 15U) * 4, 20)), into);
}

// Length of an extension header, or 0: the upper layer stands here.
std::size_t extension(std::uint8_t kind, Bytes header)
{
	switch (kind) {
	case 0:	  // hop-by-hop options
	case 43:  // routing
	case 60:  // destination options
	case 135: // mobility
	case 139: // HIP
	case 140: // SHIM6
		return (header[1] + 1U) * 8;
	case 44: // fragment
		return 8;
	case 51: // AH
		return (header[1] + 2U) * 4;
	default:
		return 0;
	}
}

void read_ip6(Bytes ip, DropSample &into)
{
	if (ip.size() < 40)
		return;
	const auto address = [&](std::size_t at) {
		ax_addr raw{};
		std::memcpy(raw.bytes, ip.data() + at, sizeof(raw.bytes));
		return Address(raw);
	};
	into.source = address(8);
	into.destination = address(24);
	into.ttl = ip[7];
	into.protocol = ip[6];
	Bytes rest = behind(ip, 40);
	for (int i = 0; i < kMostHeaders && rest.size() >= 8; ++i) {
		const std::size_t length = extension(*into.protocol, rest);
		if (length == 0)
			break;
		const bool later = *into.protocol == 44 && (word(rest, 2) & 0xfff8) != 0;
		into.protocol = rest[0];
		rest = behind(rest, length);
		if (later)
			return;
	}
	read_ports(rest, into);
}

} // namespace

std::string DropSample::source_text() const
{
	return source ? source->text() : source_mac;
}

void decode_frame(std::span<const std::uint8_t> frame, DropSample &into)
{
	if (frame.size() < 14)
		return;
	into.source_mac = fmt::format("{:02x}", fmt::join(frame.subspan(6, 6), ":"));
	std::uint16_t type = word(frame, 12);
	Bytes rest = frame.subspan(14);
	while ((type == kVlan || type == kServiceVlan) && rest.size() >= 4 &&
	       into.vlans.size() < kMostTags) {
		into.vlans.push_back(word(rest, 0) & 0xfff);
		type = word(rest, 2);
		rest = rest.subspan(4);
	}
	if (type == kIp4)
		read_ip4(rest, into);
	else if (type == kIp6)
		read_ip6(rest, into);
}

DropSample decode_sample(const ax_sample &sample)
{
	DropSample decoded;

	decoded.reason = static_cast<int>(sample.reason);
	decoded.time_ns = sample.time_ns;
	decoded.ifindex = sample.ifindex;
	decoded.bytes = sample.bytes;
	decode_frame(Bytes(sample.frame).first(std::min<std::size_t>(sample.kept, AX_SAMPLE_BYTES)),
		     decoded);
	return decoded;
}

} // namespace anycast
