// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The express ways against the long way: the same packets, twice, with the same verdict, bytes,
// counters and flow table. AX_FUZZ_SEED and AX_FUZZ_FRAMES choose which and how many.
#include <algorithm>
#include <iostream>
#include <span>
#include <sstream>
#include <tuple>

#include "prog/frame_generator.h"
#include "core/reasons.h"
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

// No special address: those go the long way.
constexpr const char *kOrdinary = "11.2.3.5";

// What a client of one of 64 flows sends: mostly in order, sometimes broken.
class Traffic {
public:
	explicit Traffic(std::uint64_t seed) : random_(seed) {}

	Bytes next()
	{
		const auto flow = static_cast<std::uint32_t>(random_.below(64));
		Bytes frame = (link() / network(flow) / transport(flow)).bytes();
		if (random_.one_in(4))
			spoil(frame);
		return frame;
	}

private:
	static bool v6(std::uint32_t flow) { return flow % 4 == 0; }
	static bool udp(std::uint32_t flow) { return flow % 8 >= 6; }

	Packet link() { return random_.one_in(32) ? Packet(Eth{} / Vlan{7}) : Packet(Eth{}); }

	Packet network(std::uint32_t flow)
	{
		const std::uint8_t tos = random_.one_in(8) ? random_.byte() : 0;
		const std::uint8_t ttl = random_.one_in(32) ? random_.byte() : 60;
		if (v6(flow))
			return Ip6{.traffic_class = tos, .hop_limit = ttl};
		return Ip4{.src = kOrdinary,
			   .tos = tos,
			   .id = ++id_[flow],
			   .df = random_.one_in(2),
			   .ttl = ttl};
	}

	Packet transport(std::uint32_t flow)
	{
		const auto port = static_cast<std::uint16_t>(1000 + flow);
		const std::size_t payload = random_.one_in(2) ? 0 : random_.below(300);
		if (udp(flow))
			return Udp{.sport = port} / Payload(payload);
		Tcp tcp{.sport = port, .seq = seq_[flow], .flags = flags()};
		if (tcp.flags & kSyn)
			tcp.options = random_.one_in(4) ? mss(1400) : first_options();
		else if (flow % 2 == 0)
			tcp.options = join({nop(), nop(), timestamps(++clock_, 1)});
		if (random_.one_in(16))
			tcp.seq += static_cast<std::uint32_t>(random_.below(3000)) - 1500;
		else
			seq_[flow] += static_cast<std::uint32_t>(payload) +
				      ((tcp.flags & (kSyn | kFin)) != 0 ? 1 : 0);
		return tcp / Payload(payload);
	}

	std::uint8_t flags()
	{
		switch (random_.below(24)) {
		case 0:
		case 1:
		case 2:
			return kSyn;
		case 3:
			return kFin | kAck;
		case 4:
			return kRst;
		case 5:
			return random_.byte() & 63;
		default:
			return kAck | (random_.one_in(2) ? kPsh : 0);
		}
	}

	static Bytes first_options()
	{
		return join(
			{mss(1460), sack_permitted(), timestamps(1, 0), nop(), window_scale(7)});
	}

	// One or two bytes of the headers, or the length; mostly with a header checksum that is
	// right again.
	void spoil(Bytes &frame)
	{
		for (std::uint64_t i = 1 + random_.below(2); i > 0; --i) {
			const std::size_t reach = std::min<std::size_t>(frame.size(), 90);
			frame[12 + random_.below(reach - 12)] ^=
				static_cast<std::uint8_t>(1U << random_.below(8));
		}
		if (random_.one_in(6))
			frame.resize(14 + random_.below(frame.size() - 13));
		if (frame[12] != 8 || frame.size() < 34 || random_.one_in(4))
			return;
		frame[24] = frame[25] = 0;
		const std::uint16_t sum =
			internet_checksum(std::span<const std::uint8_t>(frame).subspan(14, 20));
		frame[24] = static_cast<std::uint8_t>(sum >> 8);
		frame[25] = static_cast<std::uint8_t>(sum);
	}

	Random random_;
	std::map<std::uint32_t, std::uint16_t> id_;
	std::map<std::uint32_t, std::uint32_t> seq_;
	std::uint32_t clock_ = 1;
};

struct Seen {
	std::vector<Outcome> outcomes;
	std::map<ax_reason, std::uint64_t> notes;
	std::vector<FlowRecord> flows;
};

auto key_of(const FlowRecord &flow)
{
	return std::tuple(flow.source.text(), flow.destination.text(), flow.source_port,
			  flow.destination_port, flow.protocol);
}

std::string text_of(const Outcome &outcome)
{
	std::ostringstream text;
	text << outcome << " slot " << (outcome.slot ? std::to_string(*outcome.slot) : "-");
	return text.str();
}

class Express : public ProgramTest {
protected:
	void SetUp() override
	{
		ProgramTest::SetUp();
		set_table_seed(11, 22);
	}

	Seen run(std::uint64_t frames, bool express, Config config)
	{
		Seen seen;
		Traffic traffic(setting("AX_FUZZ_SEED", 1));
		Random random(7);
		reset_flows();
		set_clock_us(1'000'000);
		notes();
		for (std::uint64_t n = 0; n < frames; ++n) {
			if (n % (frames / 4) == 0) { // another backend, another generation
				config.pools[0].backends.push_back(backend_at(
					"10.1.0." + std::to_string(40 + n * 4 / frames)));
				apply(config);
			}
			if (!express) // without a next hop from before everything goes the long way
				forget_next_hops();
			seen.outcomes.push_back(send(traffic.next()));
			advance_us(random.below(3'000));
		}
		seen.notes = notes();
		seen.flows = flows(); // a way may take its slot for a packet that is then dropped
		std::ranges::sort(seen.flows, {}, key_of);
		return seen;
	}

	void expect_the_same(const Config &config, std::uint64_t frames)
	{
		const Seen express = run(frames, true, config),
			   lengthy = run(frames, false, config);
		std::uint64_t known = 0, fresh = 0;
		for (std::size_t i = 0; i < frames; ++i) {
			const Outcome &one = express.outcomes[i], &other = lengthy.outcomes[i];
			ASSERT_EQ(text_of(one), text_of(other)) << "frame " << i;
			ASSERT_EQ(one.frame.hex(), other.frame.hex()) << "frame " << i;
			if (one.reason == AX_R_STEERED)
				++(one.slot ? fresh : known);
		}
		EXPECT_EQ(express.notes, lengthy.notes);
		ASSERT_EQ(express.flows.size(), lengthy.flows.size());
		for (std::size_t i = 0; i < express.flows.size(); ++i) {
			const FlowRecord &one = express.flows[i], &other = lengthy.flows[i];
			ASSERT_EQ(key_of(one), key_of(other));
			EXPECT_EQ(one.packets, other.packets) << one.source_port;
			EXPECT_EQ(one.bytes, other.bytes) << one.source_port;
			EXPECT_EQ(one.segments, other.segments) << one.source_port;
			EXPECT_EQ(one.flags, other.flags) << one.source_port;
			EXPECT_EQ(one.mss, other.mss) << one.source_port;
			EXPECT_EQ(one.rtt_us, other.rtt_us) << one.source_port;
			EXPECT_EQ(one.syn_rtx, other.syn_rtx) << one.source_port;
			EXPECT_EQ(one.loss.lost, other.loss.lost) << one.source_port;
			EXPECT_EQ(one.loss.reordered, other.loss.reordered) << one.source_port;
			EXPECT_EQ(one.loss.rtx_seen, other.loss.rtx_seen) << one.source_port;
		}
		std::cout << frames << " frames: " << known << " of known flows, " << fresh
			  << " of others steered\n";
		EXPECT_GT(known, frames / 4);
		EXPECT_GT(fresh, frames / 50);
	}
};

Config by_gue()
{
	Config config = two_families();

	for (Vip &vip : config.vips)
		vip.forward = AX_FORWARD_GUE;
	return config;
}

std::uint64_t frames_to_compare()
{
	return setting("AX_FUZZ_FRAMES", in_vm() ? 2000 : 60000);
}

TEST_F(Express, BothWaysComeToTheSame)
{
	expect_the_same(two_families(), frames_to_compare());
}

TEST_F(Express, BothWaysComeToTheSameByGue)
{
	expect_the_same(by_gue(), frames_to_compare());
}

TEST_F(Express, BothWaysComeToTheSameWithoutCandidates)
{
	Config config = by_gue();
	config.second_chance = false;
	expect_the_same(config, frames_to_compare() / 4);
	config.gue_variant = 1;
	expect_the_same(config, frames_to_compare() / 4);
}

// Another next hop for every backend of the running configuration, as when a neighbour changes its
// address.
class NextHop : public Express {
protected:
	void neighbours_change()
	{
		Map &map = dataplane().map("ax_backend");
		for (std::uint32_t half = 0; half < 2; ++half)
			for (std::uint32_t i = 0; i < image().backends.size(); ++i) {
				ax_backend changed = image().backends[i];
				changed.dmac[5] ^= 1;
				const std::uint32_t at = half * limits().backends + i;
				ASSERT_TRUE(map.update(&at, &changed, BPF_EXIST));
			}
	}
	std::string mac_after(const Packet &packet)
	{
		return expect(AX_R_STEERED, packet).frame.hex().substr(0, 12);
	}
};

TEST_F(NextHop, IsUsedForAMomentOnly)
{
	for (const Config &by : {two_families(), by_gue()})
		for (const Packet &packet :
		     {Packet(Eth{} / Ip4{.src = kOrdinary} / Udp{} / Payload(32)),
		      Eth{} / Ip6{} / Udp{}}) {
			apply(by);
			const std::string before = mac_after(packet);
			neighbours_change();
			advance_us(90'000); // of 25 ticks of 4 ms
			EXPECT_EQ(mac_after(packet), before) << packet << " by the express way";
			advance_us(20'000);
			EXPECT_NE(mac_after(packet), before);
		}
}

TEST_F(NextHop, IsThatOfTheRunningConfiguration)
{
	const Packet packet = Eth{} / Ip4{.src = kOrdinary} / Udp{};
	apply(two_families());
	const std::string before = mac_after(packet);
	Image changed = image();
	for (ax_backend &backend : changed.backends)
		backend.dmac[5] ^= 1;
	ASSERT_TRUE(dataplane().apply(changed));
	EXPECT_NE(mac_after(packet), before);
}

// A packet larger than the link takes is not sent for a smaller one's sake.
TEST_F(NextHop, KnowsTheLinksMtu)
{
	apply(two_families(), {}, 1400);
	expect(AX_R_STEERED, Eth{} / Ip4{.src = kOrdinary} / Udp{});
	expect(AX_R_STEERED, Eth{} / Ip4{.src = kOrdinary} / Udp{} / Payload(1400 - 20 - 28));
	expect(AX_R_TOO_BIG_NO_DF, Eth{} / Ip4{.src = kOrdinary} / Udp{} / Payload(1400 - 20 - 27));
}

TEST_F(NextHop, KnowsTheLinksMtuByGue)
{
	apply(by_gue(), {}, 1400);
	expect(AX_R_STEERED, Eth{} / Ip4{.src = kOrdinary} / Udp{});
	expect(AX_R_STEERED, Eth{} / Ip4{.src = kOrdinary} / Udp{} / Payload(1400 - 44 - 28));
	expect(AX_R_TOO_BIG_NO_DF, Eth{} / Ip4{.src = kOrdinary} / Udp{} / Payload(1400 - 44 - 27));
}

// Two services of one pool, of which one goes by IPIP: what fits there need not fit here.
TEST_F(NextHop, OfIpipIsNoneOfGue)
{
	const Packet to_dns = Eth{} / Ip4{.src = kOrdinary} / Udp{.dport = 53};
	const Packet to_web = Eth{} / Ip4{.src = kOrdinary} / Tcp{.dport = 80, .flags = kAck};
	Config config = two_families();
	for (Vip &vip : config.vips)
		if (vip.protocol == kTcp)
			vip.forward = AX_FORWARD_GUE;
	for (std::size_t i = 1; i < config.pools[0].backends.size();)
		config.pools[0].backends.pop_back();
	apply(config, {}, 1400);
	expect(AX_R_STEERED, to_web);
	expect(AX_R_STEERED, to_dns);
	expect(AX_R_STEERED, to_dns);
	expect(AX_R_TOO_BIG_NO_DF, Packet(to_web) / Packet(Payload(1400 - 44 - 39)));
	expect(AX_R_STEERED, Packet(to_dns) / Packet(Payload(1400 - 20 - 28)));
}

// Whatever a rule may say of a client's address or port it says of each of its packets: those of
// such flows never go the express way, not even where the rule only counts.
TEST_F(NextHop, IsNotForClientsThatRulesAreAbout)
{
	struct Client {
		const char *address;
		std::uint16_t port = 1234;
		std::vector<ax_reason> rules;
	};
	constexpr ax_reason kSpecial = AX_R_IP4_SRC_SPECIAL, kMartian = AX_R_IP4_SRC_MARTIAN;
	Config config = two_families();
	config.rules = every_rule(AX_ACTION_COUNT);
	apply(config);
	const std::string vip = config.vips[0].address.text();

	for (const Client &client :
	     std::vector<Client>{{"0.0.0.1", 1234, {kMartian}},
				 {"1.0.0.1", 1234, {}},
				 {"9.255.255.255", 1234, {}},
				 {"10.0.0.1", 1234, {kSpecial}},
				 {"10.255.255.255", 1234, {kSpecial}},
				 {"11.0.0.1", 1234, {}},
				 {"100.63.255.255", 1234, {}},
				 {"100.64.0.1", 1234, {kSpecial}},
				 {"100.127.255.255", 1234, {kSpecial}},
				 {"100.128.0.1", 1234, {}},
				 {"127.0.0.1", 1234, {kMartian}},
				 {"128.0.0.1", 1234, {}},
				 {"169.253.255.255", 1234, {}},
				 {"169.254.0.1", 1234, {kSpecial}},
				 {"172.15.255.255", 1234, {}},
				 {"172.16.0.1", 1234, {kSpecial}},
				 {"172.31.255.255", 1234, {kSpecial}},
				 {"172.32.0.1", 1234, {}},
				 {"192.0.1.255", 1234, {}},
				 {"192.0.2.1", 1234, {kSpecial}},
				 {"192.0.3.1", 1234, {}},
				 {"192.168.0.1", 1234, {kSpecial}},
				 {"192.169.0.1", 1234, {}},
				 {"198.51.100.200", 1234, {kSpecial}},
				 {"198.51.101.1", 1234, {}},
				 {"203.0.113.1", 1234, {kSpecial}},
				 {"203.0.114.1", 1234, {}},
				 {"223.255.255.255", 1234, {}},
				 {"224.0.0.1", 1234, {kMartian}},
				 {"255.255.255.255", 1234, {kMartian}},
				 {vip.c_str(), 1234, {AX_R_IP4_LAND, kSpecial}},
				 {kOrdinary, 0, {AX_R_TCP_PORT_ZERO}}}) {
		SCOPED_TRACE(client.address);
		const Packet from = Eth{} / Ip4{.src = client.address, .dst = vip};
		const Tcp segment{.sport = client.port, .dport = 80, .flags = kAck};
		expect(AX_R_STEERED, Eth{} / Ip4{.src = kOrdinary, .dst = vip} / segment);
		notes();
		for (const std::uint8_t flags : {kSyn, kAck, kAck})
			expect(AX_R_STEERED,
			       Packet(from) /
				       Tcp{.sport = client.port, .dport = 80, .flags = flags});
		auto counted = notes();
		std::erase_if(counted, [](const auto &note) {
			return find_reason(note.first)->cls != AX_CLASS_RULE;
		});
		std::map<ax_reason, std::uint64_t> wanted;
		for (const ax_reason rule : client.rules)
			wanted[rule] = 3;
		EXPECT_EQ(counted, wanted);
	}
}

} // namespace
} // namespace anycast::test
