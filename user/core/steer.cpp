// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/steer.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <sstream>

#include <anycast_xdp/hash.h>

#include "core/endpoint.h"
#include "core/names.h"

namespace anycast {

namespace {

using Bytes = std::vector<std::uint8_t>;

void put16(Bytes &to, std::size_t value)
{
	to.push_back(static_cast<std::uint8_t>(value >> 8));
	to.push_back(static_cast<std::uint8_t>(value));
}

void put(Bytes &to, const Address &address)
{
	const auto &all = address.bytes();
	to.insert(to.end(), all.begin() + (address.is_v4() ? 12 : 0), all.end());
}

// RFC 1071; over an even number of bytes.
std::uint16_t checksum(const Bytes &bytes)
{
	std::uint32_t sum = 0;
	for (std::size_t i = 0; i + 1 < bytes.size(); i += 2)
		sum += static_cast<std::uint32_t>(bytes[i] << 8 | bytes[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return static_cast<std::uint16_t>(~sum);
}

void set16(Bytes &bytes, std::size_t at, std::uint16_t value)
{
	bytes[at] = static_cast<std::uint8_t>(value >> 8);
	bytes[at + 1] = static_cast<std::uint8_t>(value);
}

Bytes transport(const FlowTuple &flow)
{
	Bytes bytes;
	put16(bytes, flow.source_port);
	put16(bytes, flow.destination_port);
	if (flow.protocol == IPPROTO_UDP) {
		put16(bytes, 8);
		put16(bytes, 0);
	} else {
		const Bytes rest = {0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0};
		bytes.insert(bytes.end(), rest.begin(), rest.end());
	}

	Bytes pseudo;
	put(pseudo, flow.source);
	put(pseudo, flow.destination);
	put16(pseudo, bytes.size());
	put16(pseudo, flow.protocol);
	pseudo.insert(pseudo.end(), bytes.begin(), bytes.end());
	const std::uint16_t sum = checksum(pseudo);
	// RFC 768: 0 means that there is none
	set16(bytes, flow.protocol == IPPROTO_UDP ? 6 : 16, sum == 0 ? 0xffff : sum);
	return bytes;
}

Bytes network(const FlowTuple &flow, std::size_t payload)
{
	Bytes bytes;
	if (!flow.source.is_v4()) {
		bytes = {0x60, 0, 0, 0};
		put16(bytes, payload);
		bytes.push_back(flow.protocol);
		bytes.push_back(64);
		put(bytes, flow.source);
		put(bytes, flow.destination);
		return bytes;
	}
	bytes = {0x45, 0};
	put16(bytes, 20 + payload);
	const Bytes fixed = {0, 0, 0x40, 0, 64, flow.protocol, 0, 0};
	bytes.insert(bytes.end(), fixed.begin(), fixed.end());
	put(bytes, flow.source);
	put(bytes, flow.destination);
	set16(bytes, 10, checksum(bytes));
	return bytes;
}

std::uint64_t half_of(const ax_addr &address, int first)
{
	return static_cast<std::uint64_t>(ntohl(address.word[first])) << 32 |
	       ntohl(address.word[first + 1]);
}

} // namespace

std::optional<FlowTuple> parse_flow(std::string_view text)
{
	std::istringstream stream{std::string(text)};
	std::vector<std::string> words;
	for (std::string word; stream >> word;)
		if (word != ">" && word != "->")
			words.push_back(word);
	if (words.size() < 2 || words.size() > 3)
		return std::nullopt;
	const auto from = Endpoint::parse(words[0]), to = Endpoint::parse(words[1]);
	if (!from || !to || from->address.is_v4() != to->address.is_v4())
		return std::nullopt;
	FlowTuple flow{from->address, to->address, from->port, to->port};
	if (words.size() == 3) {
		const auto protocol = protocol_from(words[2]);
		if (!protocol || (*protocol != IPPROTO_TCP && *protocol != IPPROTO_UDP))
			return std::nullopt;
		flow.protocol = *protocol;
	}
	return flow;
}

std::uint32_t steer_hash(const std::array<std::uint64_t, 2> &seed, const FlowTuple &flow,
			 ax_hash_input input)
{
	const ax_addr source = flow.source.raw(), destination = flow.destination.raw();
	const std::uint32_t ports =
		static_cast<std::uint32_t>(flow.source_port) << 16 | flow.destination_port;

	if (input == AX_HASH_SOURCE || input == AX_HASH_SOURCE_PORT)
		return ax_steer_hash(seed[0], seed[1], half_of(source, 0), half_of(source, 2), 0, 0,
				     input == AX_HASH_SOURCE ? 0 : ports & 0xffff0000, 0);
	return ax_steer_hash(seed[0], seed[1], half_of(source, 0), half_of(source, 2),
			     half_of(destination, 0), half_of(destination, 2), ports,
			     flow.protocol);
}

std::vector<std::uint8_t> first_packet(const FlowTuple &flow)
{
	Bytes frame = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
	put16(frame, flow.source.is_v4() ? 0x0800 : 0x86dd);
	const Bytes upper = transport(flow), ip = network(flow, upper.size());
	frame.insert(frame.end(), ip.begin(), ip.end());
	frame.insert(frame.end(), upper.begin(), upper.end());
	return frame;
}

} // namespace anycast
