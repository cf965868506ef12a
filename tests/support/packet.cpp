// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/packet.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <stdexcept>

#include <arpa/inet.h>

namespace anycast::test {

namespace {

class Writer {
public:
	void u8(unsigned value) { out_.push_back(static_cast<std::uint8_t>(value)); }
	void u16(unsigned value)
	{
		u8(value >> 8);
		u8(value);
	}
	void u32(std::uint32_t value)
	{
		u16(value >> 16);
		u16(value);
	}
	void bytes(std::span<const std::uint8_t> more)
	{
		out_.insert(out_.end(), more.begin(), more.end());
	}
	void mac(const std::string &text)
	{
		std::array<unsigned, 6> m{};
		if (std::sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x", &m[0], &m[1], &m[2], &m[3],
				&m[4], &m[5]) != 6)
			throw std::invalid_argument("not a MAC address: " + text);
		for (const unsigned byte : m)
			u8(byte);
	}
	void address(int family, const std::string &text)
	{
		std::array<std::uint8_t, 16> raw{};
		if (inet_pton(family, text.c_str(), raw.data()) != 1)
			throw std::invalid_argument("not an address of its family: " + text);
		bytes(std::span(raw).first(family == AF_INET ? 4 : 16));
	}
	void set16(std::size_t at, unsigned value)
	{
		out_.at(at) = static_cast<std::uint8_t>(value >> 8);
		out_.at(at + 1) = static_cast<std::uint8_t>(value);
	}
	[[nodiscard]] std::size_t size() const { return out_.size(); }
	[[nodiscard]] const Bytes &get() const { return out_; }

private:
	Bytes out_;
};

template <typename... Ts> struct Overloaded : Ts... {
	using Ts::operator()...;
};
template <typename... Ts> Overloaded(Ts...) -> Overloaded<Ts...>; // clang 14 needs it

std::uint16_t ethertype_of(const Layer *next)
{
	static constexpr int kExperimental = 0x88b5; // IEEE 802 local experimental
	if (next == nullptr)
		return kExperimental;
	const Overloaded ethertype{
		[](const Vlan &vlan) { return int{vlan.tpid}; },
		[](const Arp &) { return 0x0806; },
		[](const Ip4 &) { return 0x0800; },
		[](const Ip6 &) { return 0x86dd; },
		[](const auto &) { return kExperimental; },
	};
	return static_cast<std::uint16_t>(std::visit(ethertype, *next));
}

std::uint8_t protocol_of(const Layer *next)
{
	if (next == nullptr)
		return kNoNext;
	const Overloaded protocol{
		[](const Ip4 &) { return 4; },
		[](const Ip6 &) { return 41; },
		[](const Ip6Ext &ext) { return int{ext.kind}; },
		[](const Ip6Frag &) { return 44; },
		[](const Tcp &) { return 6; },
		[](const Udp &) { return 17; },
		[](const Icmp4 &) { return 1; },
		[](const Icmp6 &) { return 58; },
		[](const auto &) { return 253; }, // RFC 3692: experiments
	};
	return static_cast<std::uint8_t>(std::visit(protocol, *next));
}

void pad_to(Bytes &bytes, std::size_t unit)
{
	bytes.resize((bytes.size() + unit - 1) / unit * unit);
}

// Sum of the pseudo header of RFC 9293 section 3.1 or RFC 8200 section 8.1; 0 without an IP header.
// With a routing header the destination is the IPv6 header's, right for segments left = 0.
std::uint32_t pseudo_sum(const Layer *ip, std::uint8_t protocol, std::size_t length)
{
	Writer pseudo;
	if (ip == nullptr)
		return 0;
	if (const auto *v4 = std::get_if<Ip4>(ip)) {
		pseudo.address(AF_INET, v4->src);
		pseudo.address(AF_INET, v4->dst);
	} else {
		pseudo.address(AF_INET6, std::get<Ip6>(*ip).src);
		pseudo.address(AF_INET6, std::get<Ip6>(*ip).dst);
	}
	pseudo.u32(static_cast<std::uint32_t>(length));
	pseudo.u32(protocol);
	return static_cast<std::uint16_t>(~internet_checksum(pseudo.get()));
}

// Writes one layer in front of `rest`, which is already complete.
class Encoder {
public:
	Encoder(const Layer *next, const Layer *ip, const Bytes &rest)
		: next_(next), ip_(ip), rest_(rest)
	{
	}

	Bytes operator()(const Eth &eth)
	{
		w_.mac(eth.dst);
		w_.mac(eth.src);
		w_.u16(eth.ethertype.value_or(ethertype_of(next_)));
		return w_.get();
	}

	Bytes operator()(const Vlan &vlan)
	{
		w_.u16(vlan.priority << 13 | (vlan.dei ? 1 << 12 : 0) | (vlan.id & 0xfff));
		w_.u16(vlan.ethertype.value_or(ethertype_of(next_)));
		return w_.get();
	}

	Bytes operator()(const Arp &arp)
	{
		w_.u16(1);
		w_.u16(0x0800);
		w_.u8(6);
		w_.u8(4);
		w_.u16(arp.op);
		w_.mac(arp.sender_mac);
		w_.address(AF_INET, arp.sender);
		w_.mac(arp.target_mac);
		w_.address(AF_INET, arp.target);
		return w_.get();
	}

	Bytes operator()(const Ip4 &ip)
	{
		Bytes options = ip.options;
		pad_to(options, 4);
		const std::size_t header = 20 + options.size();
		w_.u8(ip.version << 4 |
		      (ip.ihl.value_or(static_cast<std::uint8_t>(header / 4)) & 15));
		w_.u8(ip.tos);
		w_.u16(ip.total_length.value_or(static_cast<std::uint16_t>(header + rest_.size())));
		w_.u16(ip.id);
		w_.u16((ip.evil ? 0x8000 : 0) | (ip.df ? 0x4000 : 0) | (ip.mf ? 0x2000 : 0) |
		       (ip.offset & 0x1fff));
		w_.u8(ip.ttl);
		w_.u8(ip.protocol.value_or(protocol_of(next_)));
		w_.u16(0);
		w_.address(AF_INET, ip.src);
		w_.address(AF_INET, ip.dst);
		w_.bytes(options);
		w_.set16(10, ip.checksum.value_or(internet_checksum(w_.get())));
		return w_.get();
	}

	Bytes operator()(const Ip6 &ip)
	{
		w_.u32(std::uint32_t{ip.version} << 28 | std::uint32_t{ip.traffic_class} << 20 |
		       (ip.flow_label & 0xfffff));
		w_.u16(ip.payload_length.value_or(static_cast<std::uint16_t>(rest_.size())));
		w_.u8(ip.next_header.value_or(protocol_of(next_)));
		w_.u8(ip.hop_limit);
		w_.address(AF_INET6, ip.src);
		w_.address(AF_INET6, ip.dst);
		return w_.get();
	}

	Bytes operator()(const Ip6Ext &ext)
	{
		Bytes body = ext.body;
		if (ext.kind == kRouting)
			body.insert(body.begin(), {ext.routing_type, ext.segments_left});
		const std::size_t missing = (8 - (body.size() + 2) % 8) % 8;
		const bool has_options = ext.kind == kHopByHop || ext.kind == kDestination;
		if (has_options && missing >= 2)
			body.insert(body.end(), {1, static_cast<std::uint8_t>(missing - 2)});
		body.resize((body.size() + 2 + 7) / 8 * 8 - 2);
		// RFC 4302 section 2.2: AH alone counts in words, less two.
		const std::size_t length = ext.kind == kAuthentication ? (body.size() + 2) / 4 - 2
								       : (body.size() + 2) / 8 - 1;
		w_.u8(ext.next_header.value_or(protocol_of(next_)));
		w_.u8(ext.length.value_or(static_cast<std::uint8_t>(length)));
		w_.bytes(body);
		return w_.get();
	}

	Bytes operator()(const Ip6Frag &frag)
	{
		w_.u8(frag.next_header.value_or(protocol_of(next_)));
		w_.u8(0);
		w_.u16(frag.offset << 3 | (frag.mf ? 1 : 0));
		w_.u32(frag.id);
		return w_.get();
	}

	Bytes operator()(const Tcp &tcp)
	{
		Bytes options = tcp.options;
		pad_to(options, 4);
		w_.u16(tcp.sport);
		w_.u16(tcp.dport);
		w_.u32(tcp.seq);
		w_.u32(tcp.ack);
		w_.u8(tcp.data_offset.value_or(static_cast<std::uint8_t>(5 + options.size() / 4))
		      << 4);
		w_.u8(tcp.flags);
		w_.u16(tcp.window);
		w_.u16(0);
		w_.u16(tcp.urgent);
		w_.bytes(options);
		w_.set16(16, tcp.checksum.value_or(transport_checksum(6)));
		return w_.get();
	}

	Bytes operator()(const Udp &udp)
	{
		w_.u16(udp.sport);
		w_.u16(udp.dport);
		w_.u16(udp.length.value_or(static_cast<std::uint16_t>(8 + rest_.size())));
		w_.u16(0);
		// RFC 768: 0 means "no checksum", so a sum of 0 is sent as its other form.
		const std::uint16_t sum = transport_checksum(17);
		w_.set16(6, udp.checksum.value_or(sum == 0 ? 0xffff : sum));
		return w_.get();
	}

	Bytes operator()(const Icmp4 &icmp)
	{
		w_.u8(icmp.type);
		w_.u8(icmp.code);
		w_.u16(0);
		w_.u16(icmp.id);
		w_.u16(icmp.seq);
		ip_ = nullptr; // RFC 792: no pseudo header
		w_.set16(2, icmp.checksum.value_or(transport_checksum(1)));
		return w_.get();
	}

	Bytes operator()(const Icmp6 &icmp)
	{
		w_.u8(icmp.type);
		w_.u8(icmp.code);
		w_.u16(0);
		w_.u32(icmp.mtu.value_or(std::uint32_t{icmp.id} << 16 | icmp.seq));
		w_.set16(2, icmp.checksum.value_or(transport_checksum(58)));
		return w_.get();
	}

	Bytes operator()(const Raw &raw) { return raw.bytes; }
	Bytes operator()(const Payload &payload) { return payload.bytes; }

private:
	[[nodiscard]] std::uint16_t transport_checksum(std::uint8_t protocol) const
	{
		Bytes segment = w_.get();
		segment.insert(segment.end(), rest_.begin(), rest_.end());
		return internet_checksum(segment, pseudo_sum(ip_, protocol, segment.size()));
	}

	const Layer *next_;
	const Layer *ip_; // the header that carries this layer
	const Bytes &rest_;
	Writer w_;
};

} // namespace

Payload::Payload(std::size_t size) : bytes(size)
{
	for (std::size_t i = 0; i < size; ++i)
		bytes[i] = static_cast<std::uint8_t>(i);
}

Payload::Payload(std::string_view text) : bytes(text.begin(), text.end()) {}

void Packet::build()
{
	std::vector<const Layer *> ip_of(layers_.size());
	const Layer *ip = nullptr;
	for (std::size_t i = 0; i < layers_.size(); ++i) {
		ip_of[i] = ip;
		if (std::holds_alternative<Ip4>(layers_[i]) ||
		    std::holds_alternative<Ip6>(layers_[i]))
			ip = &layers_[i];
	}
	bytes_.clear();
	for (std::size_t i = layers_.size(); i-- > 0;) {
		const Layer *next = i + 1 < layers_.size() ? &layers_[i + 1] : nullptr;
		Bytes header = std::visit(Encoder(next, ip_of[i], bytes_), layers_[i]);
		bytes_.insert(bytes_.begin(), header.begin(), header.end());
	}
}

Packet operator/(Packet left, const Packet &right)
{
	left.layers_.insert(left.layers_.end(), right.layers_.begin(), right.layers_.end());
	left.build();
	return left;
}

Packet Packet::truncate(std::size_t length) const
{
	return slice(0, length);
}

Packet Packet::pad(std::size_t length) const
{
	Raw raw{bytes_};
	if (raw.bytes.size() < length)
		raw.bytes.resize(length);
	return raw;
}

Packet Packet::with_byte(std::size_t at, std::uint8_t value) const
{
	Raw raw{bytes_};
	raw.bytes.at(at) = value;
	return raw;
}

Raw Packet::slice(std::size_t from, std::size_t length) const
{
	from = std::min(from, bytes_.size());
	const auto part = std::span(bytes_).subspan(from, std::min(length, bytes_.size() - from));
	return Raw{Bytes(part.begin(), part.end())};
}

Bytes join(std::initializer_list<Bytes> parts)
{
	Bytes out;
	for (const Bytes &part : parts)
		out.insert(out.end(), part.begin(), part.end());
	return out;
}

Bytes option(std::uint8_t kind, const Bytes &data)
{
	return join({{kind, static_cast<std::uint8_t>(data.size() + 2)}, data});
}

Bytes nop()
{
	return {1};
}

Bytes mss(std::uint16_t value)
{
	Writer w;
	w.u16(value);
	return option(2, w.get());
}

Bytes window_scale(std::uint8_t shift)
{
	return option(3, {shift});
}

Bytes sack_permitted()
{
	return option(4, {});
}

Bytes sack(std::initializer_list<std::pair<std::uint32_t, std::uint32_t>> blocks)
{
	Writer w;
	for (const auto &[left, right] : blocks) {
		w.u32(left);
		w.u32(right);
	}
	return option(5, w.get());
}

Bytes timestamps(std::uint32_t value, std::uint32_t echo)
{
	Writer w;
	w.u32(value);
	w.u32(echo);
	return option(8, w.get());
}

std::uint16_t internet_checksum(std::span<const std::uint8_t> bytes, std::uint32_t sum)
{
	std::uint64_t total = sum;
	for (std::size_t i = 0; i < bytes.size(); ++i)
		total += std::uint64_t{bytes[i]} << (i % 2 == 0 ? 8 : 0);
	while (total >> 16 != 0)
		total = (total & 0xffff) + (total >> 16);
	return static_cast<std::uint16_t>(~total);
}

} // namespace anycast::test
