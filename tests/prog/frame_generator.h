// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames for comparing: by grammar, by mutation of known packets, and noise. Frame n of a seed is
// always the same frame.
#pragma once

#include <anycast_xdp/hash.h>

#include "support/program_fixture.h"
#include "support/rule_rows.h"

namespace anycast::test {

class Random {
public:
	explicit Random(std::uint64_t seed) : state_(seed) {}
	std::uint64_t operator()() { return ax_mix(state_ += 0x9e3779b97f4a7c15); }
	std::uint64_t below(std::uint64_t n) { return (*this)() % n; }
	bool one_in(std::uint64_t n) { return below(n) == 0; }
	std::uint8_t byte() { return static_cast<std::uint8_t>((*this)()); }
	template <typename T> T pick(std::initializer_list<T> list)
	{
		return list.begin()[below(list.size())];
	}
	Bytes bytes(std::size_t n)
	{
		Bytes all(n);
		for (std::uint8_t &b : all)
			b = byte();
		return all;
	}

private:
	std::uint64_t state_;
};

class FrameGenerator {
public:
	explicit FrameGenerator(std::uint64_t seed) : seed_(seed)
	{
		for (const RuleRow &row : rule_rows()) {
			known_.push_back(row.hit.bytes());
			known_.push_back(row.near_miss.bytes());
		}
		Random random(seed);
		for (int i = 0; i < 500; ++i)
			known_.push_back(grammar(random).bytes());
	}

	[[nodiscard]] Bytes frame(std::uint64_t n) const
	{
		Random random(ax_mix(seed_) ^ (n * 0x2545f4914f6cdd1d));
		const std::uint64_t kind = random.below(16);
		Bytes frame = kind == 0	  ? noise(random)
			      : kind <= 4 ? grammar(random).bytes()
					  : known_[random.below(known_.size())];
		for (std::uint64_t i = kind <= 4 ? random.below(2) : 1 + random.below(4); i > 0;
		     --i)
			mutate(frame, random);
		frame.resize(std::clamp<std::size_t>(frame.size(), 14, 1600));
		return frame;
	}

	static void mutate(Bytes &frame, Random &random)
	{
		// Headers are where decisions are made.
		const std::size_t reach = std::min<std::size_t>(frame.size(), 110);
		const std::size_t at = 12 + random.below(std::max<std::size_t>(reach, 14) - 12);
		if (frame.size() <= at)
			return;
		switch (random.below(8)) {
		case 0:
			frame[at] = random.byte();
			break;
		case 1:
			frame[at] ^= static_cast<std::uint8_t>(1U << random.below(8));
			break;
		case 2:
			frame[at] = random.pick<std::uint8_t>({0, 1, 2, 4, 5, 8, 40, 127, 255});
			break;
		case 3:
			frame[at] = static_cast<std::uint8_t>(frame[at] + random.below(5) - 2);
			break;
		case 4:
			frame.resize(std::max<std::size_t>(14, random.below(frame.size() + 1)));
			break;
		case 5:
			frame.resize(frame.size() + random.below(64));
			break;
		case 6: { // some bytes again, or some less
			const std::size_t length =
				std::min<std::size_t>(1 + random.below(24), frame.size() - at);
			if (random.one_in(2)) {
				const Bytes part(frame.begin() + static_cast<long>(at),
						 frame.begin() + static_cast<long>(at + length));
				frame.insert(frame.begin() + static_cast<long>(at), part.begin(),
					     part.end());
			} else {
				frame.erase(frame.begin() + static_cast<long>(at),
					    frame.begin() + static_cast<long>(at + length));
			}
			break;
		}
		default: // a protocol that something is known about
			frame[at] = random.pick<std::uint8_t>({0, 1, 4, 6, 17, 41, 43, 44, 50, 51,
							       58, 59, 60, 135, 139, 140, 255});
		}
	}

private:
	static Bytes noise(Random &random)
	{
		Bytes frame = random.bytes(14 + random.below(120));
		if (frame.size() > 14 && !random.one_in(4)) {
			const bool v4 = random.one_in(2);
			frame[12] = v4 ? 0x08 : 0x86;
			frame[13] = v4 ? 0x00 : 0xdd;
			frame[14] =
				static_cast<std::uint8_t>((v4 ? 0x40 : 0x60) | (frame[14] & 15));
		}
		return frame;
	}

	static Packet grammar(Random &random)
	{
		Packet packet = Eth{};
		for (std::uint64_t tags = random.one_in(4) ? random.below(4) : 0; tags > 0; --tags)
			packet =
				packet / Vlan{.id = static_cast<std::uint16_t>(random.below(4096)),
					      .tpid = random.pick<std::uint16_t>({0x8100, 0x88a8})};
		packet = random.one_in(2) ? packet / ip4(random)
					  : chain(packet / ip6(random), random);
		packet = upper(packet, random);
		if (random.one_in(3))
			packet = packet.pad(60);
		return packet;
	}

	static Ip4 ip4(Random &random)
	{
		Ip4 ip;
		ip.src =
			random.pick<std::string>({"203.0.113.5", "0.0.0.0", "127.0.0.1", "10.1.2.3",
						  "9.9.9.9", "224.0.0.1", "255.255.255.255"});
		ip.dst = random.pick<std::string>({"198.51.100.80", "198.51.100.80", "9.9.9.9",
						   "255.255.255.255", "224.0.0.22", "0.0.0.1"});
		ip.ttl = random.pick<std::uint8_t>({0, 1, 64, 254, 255});
		ip.evil = random.one_in(20);
		ip.df = random.one_in(2);
		ip.mf = random.one_in(5);
		ip.offset =
			random.one_in(5) ? random.pick<std::uint16_t>({1, 2, 3, 8000, 8191}) : 0;
		for (std::uint64_t i = random.one_in(3) ? random.below(5) : 0; i > 0; --i) {
			const auto type =
				random.pick<std::uint8_t>({0, 1, 7, 68, 131, 137, 148, 130, 9});
			ip.options = join({ip.options,
					   type < 2 ? Bytes{type}
						    : option(type, random.bytes(random.below(9)))});
		}
		ip.options.resize(std::min<std::size_t>(ip.options.size(), 40));
		return ip;
	}

	static Ip6 ip6(Random &random)
	{
		Ip6 ip;
		ip.src = random.pick<std::string>({"2001:db8::5", "2001:db8::6", "2001:db8::7",
						   "::", "::1", "ff02::1", "fe80::1",
						   "::ffff:9.9.9.9", "2001:db8::80"});
		ip.dst = random.pick<std::string>(
			{"2001:db8::80", "2001:db8::80", "::", "::1", "ff02::1", "::ffff:9.9.9.9"});
		ip.hop_limit = random.pick<std::uint8_t>({0, 1, 64, 254, 255});
		return ip;
	}

	static Packet chain(Packet packet, Random &random, std::uint64_t most = 10)
	{
		for (std::uint64_t i = random.one_in(2) ? random.below(most + 1) : 0; i > 0; --i) {
			if (random.one_in(4)) {
				packet = packet / Ip6Frag{.offset = random.pick<std::uint16_t>(
								  {0, 0, 1, 7, 8191}),
							  .mf = random.one_in(3)};
				continue;
			}
			packet = packet /
				 Ip6Ext{.kind = random.pick<std::uint8_t>(
						{0, 43, 51, 60, 60, 60, 135, 139, 140}),
					.routing_type = static_cast<std::uint8_t>(random.below(5)),
					.body = Bytes(random.below(30))};
		}
		return packet;
	}

	// An ICMP error about a packet of ours, cut somewhere.
	static Packet quoting(const Packet &packet, Random &random)
	{
		const auto client = static_cast<std::uint16_t>(1000 + random.below(64));
		const Tcp tcp{.sport = random.pick<std::uint16_t>({80, 80, 179}), .dport = client};
		const Packet upper = random.one_in(4)	? Packet(Icmp4{})
				     : random.one_in(6) ? Packet(Udp{.dport = 3784})
							: Packet(tcp);
		Packet quoted = Eth{};
		if (random.one_in(2))
			quoted = quoted /
				 Ip4{.src = random.pick<std::string>(
					     {"198.51.100.80", "198.51.100.80", "10.1.2.3"}),
				     .dst = random.pick<std::string>({"203.0.113.5", "203.0.113.5",
								      "9.9.9.9", "10.1.2.3",
								      "8.8.8.8"}),
				     .version = static_cast<std::uint8_t>(
					     random.one_in(16) ? random.below(16) : 4),
				     .offset = static_cast<std::uint16_t>(random.one_in(8) ? 3 : 0),
				     .options = Bytes(random.one_in(6) ? random.below(41) : 0, 1)} /
				 upper;
		else
			quoted = chain(quoted / Ip6{.src = random.pick<std::string>(
							    {"2001:db8::80", "2001:db8::80",
							     "2001:db8::9"}),
						    .dst = random.pick<std::string>(
							    {"2001:db8::5", "2001:db8::5",
							     "2001:db8::6", "2001:db8::7",
							     "2001:db8::8"})},
				       random, 5) /
				 upper;
		const Raw part =
			quoted.slice(14, random.one_in(2) ? SIZE_MAX : 16 + random.below(70));
		if (random.one_in(2))
			return packet /
			       Icmp4{.type = random.pick<std::uint8_t>({3, 3, 4, 11, 12, 5}),
				     .code = random.pick<std::uint8_t>({0, 1, 3, 4, 4, 20})} /
			       part;
		return packet / Icmp6{.type = random.pick<std::uint8_t>({1, 2, 2, 3, 4, 128})} /
		       part;
	}

	static Packet upper(const Packet &packet, Random &random)
	{
		const Payload payload(random.pick<std::size_t>({0, 1, 7, 8, 16, 100}));
		const auto port = random.pick<std::uint16_t>({0, 53, 80, 179, 3784, 6081, 40000});
		switch (random.below(7)) {
		case 6:
			return quoting(packet, random);
		case 0:
			return packet /
			       Udp{.sport = port,
				   .dport = random.pick<std::uint16_t>(
					   {0, 53, 3784, 4789, 6080, 5555}),
				   .checksum = random.one_in(3) ? std::optional<std::uint16_t>(0)
								: std::nullopt} /
			       payload;
		case 1:
			return packet / Icmp4{.type = static_cast<std::uint8_t>(random.below(45))} /
			       payload;
		case 2:
			return packet /
			       Icmp6{.type = random.pick<std::uint8_t>(
					     {1, 2, 3, 4, 128, 133, 134, 135, 136, 137, 143})} /
			       payload;
		case 3:
			return packet / payload;
		default:
			return packet /
			       Tcp{.sport = port,
				   .dport = random.pick<std::uint16_t>({80, 179, 0}),
				   .flags = random.one_in(2) ? kAck : random.byte(),
				   .options = random.one_in(2)
						      ? join({mss(1460),
							      random.bytes(random.below(9))})
						      : Bytes{}} /
			       payload;
		}
	}

	std::uint64_t seed_;
	std::vector<Bytes> known_;
};

} // namespace anycast::test
