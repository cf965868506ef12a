// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Packets of some flows to the VIPs of two_families(), again and again, so that the flow table
// knows them: most as a client sends them, some with something wrong or out of the ordinary.
#pragma once

#include "prog/frame_generator.h"

namespace anycast::test {

struct FlowFrame {
	Bytes bytes{};
	bool ordinary = false; // must be steered
	std::size_t flow = 0;
};

class FlowFrames {
public:
	static constexpr std::size_t kFlows = 64;

	// The sequence of frames depends on `random` alone.
	FlowFrame next(Random &random)
	{
		FlowFrame frame{.flow = random.below(kFlows)};
		const bool four = frame.flow % 2 == 0, tcp = frame.flow / 2 % 2 == 0;
		const bool odd = random.one_in(4);
		Packet packet = Eth{};
		if (odd && random.one_in(4))
			packet = packet / Vlan{9};
		packet = four ? packet / ip4(random, odd) : packet / Ip6{};
		if (!four && odd && random.one_in(4))
			packet = packet / Ip6Ext{};
		packet = tcp ? segment(packet, frame.flow, random, odd)
			     : packet / Udp{.sport = port(frame.flow), .dport = 53} /
					 Payload(random.below(64));
		if (random.one_in(6))
			packet = packet.pad(80);
		frame.bytes = packet.bytes();
		frame.ordinary = !odd;
		if (random.one_in(12)) { // a length that is off by a little, and nothing else
			frame.ordinary = false;
			frame.bytes[four ? 17 : 19] +=
				static_cast<std::uint8_t>(random.below(17) - 8);
			mend_checksum(frame.bytes);
		} else if (random.one_in(3)) {
			frame.ordinary = false;
			for (std::uint64_t i = 1 + random.below(3); i > 0; --i)
				FrameGenerator::mutate(frame.bytes, random);
			frame.bytes.resize(std::max<std::size_t>(frame.bytes.size(), 14));
			if (random.one_in(2))
				mend_checksum(frame.bytes);
		}
		return frame;
	}

	// Of an untagged IPv4 header, whatever else is wrong with it.
	static void mend_checksum(Bytes &frame)
	{
		if (frame.size() < 34 || frame[12] != 8 || frame[13] != 0)
			return;
		const std::size_t header = (frame[14] & 15U) * 4;
		if (header < 20 || frame.size() < 14 + header)
			return;
		frame[24] = frame[25] = 0;
		const std::uint16_t sum =
			internet_checksum(std::span<const std::uint8_t>(frame).subspan(14, header));
		frame[24] = static_cast<std::uint8_t>(sum >> 8);
		frame[25] = static_cast<std::uint8_t>(sum);
	}

private:
	static std::uint16_t port(std::size_t flow)
	{
		return static_cast<std::uint16_t>(1000 + flow);
	}

	static Ip4 ip4(Random &random, bool odd)
	{
		Ip4 ip{.tos = random.byte(), .id = static_cast<std::uint16_t>(random())};
		if (!odd)
			return ip;
		ip.ttl = random.pick<std::uint8_t>({0, 1, 64, 255});
		ip.mf = random.one_in(4);
		ip.offset = random.one_in(4) ? 3 : 0;
		if (random.one_in(4))
			ip.options = Bytes(4, 1);
		return ip;
	}

	Packet segment(const Packet &packet, std::size_t flow, Random &random, bool odd)
	{
		const std::size_t payload = random.pick<std::size_t>({0, 1, 64, 100});
		Tcp tcp{.sport = port(flow), .seq = next_[flow], .flags = kAck};
		if (flow / 4 % 2 == 0)
			tcp.options = join({{1, 1}, timestamps(++clock_, 7)});
		if (odd && random.one_in(2))
			tcp.flags = random.pick<std::uint8_t>(
				{kSyn, kAck | kFin, kRst, kRst | kAck, 0, kSyn | kFin, kPsh});
		if (odd && random.one_in(3))
			tcp.seq += static_cast<std::uint32_t>(random.below(3000)) - 1000;
		else
			next_[flow] += static_cast<std::uint32_t>(payload);
		return packet / tcp / Payload(payload);
	}

	std::array<std::uint32_t, kFlows> next_{};
	std::uint32_t clock_ = 1;
};

} // namespace anycast::test
