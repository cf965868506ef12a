// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The second chance: who has the connection keeps its segments, who has not passes them on.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/net_namespace.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <system_error>
#include <thread>

#include "core/maglev.h"
#include "net/netlink.h"
#include "support/connection.h"
#include "support/gue.h"
#include "support/program_fixture.h"
#include "util/fd.h"

namespace anycast::test {
namespace {

constexpr std::size_t kEth = 14;
constexpr const char *kEdge = "10.0.0.1", *kHere = "10.1.0.11", *kNext = "10.1.0.12",
		     *kLast = "10.1.0.13";

// A network namespace of the test's own, whose loopback has the VIPs and the client: a test run's
// packets arrive there.
class World {
public:
	World() : back_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC))
	{
		if (unshare(CLONE_NEWNET) != 0)
			throw std::runtime_error("unshare: root is needed");
		for (const char *command :
		     {"link set lo up", "addr add 198.51.100.80/32 dev lo",
		      "addr add 203.0.113.5/32 dev lo", "addr add 2001:db8::80/128 dev lo nodad",
		      "addr add 2001:db8::5/128 dev lo nodad"})
			if (std::system((std::string("ip ") + command).c_str()) != 0) // NOLINT
				throw std::runtime_error(command);
	}
	~World() { setns(back_.get(), CLONE_NEWNET); }
	World(const World &) = delete;
	World &operator=(const World &) = delete;

private:
	Fd back_;
};

Fd bound(const Endpoint &to)
{
	const SocketAddress address(to);
	Fd fd(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
	const int one = 1;
	setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	EXPECT_EQ(bind(fd.get(), address.get(), address.size), 0) << to.text();
	return fd;
}

struct Session {
	Session(const Endpoint &client, const Endpoint &server) : listener(bound(server))
	{
		EXPECT_EQ(listen(listener.get(), 1), 0);
		from = bound(client);
		const SocketAddress to(server);
		// The kernel adds an IPv6 address's route by a worker of its own, a moment later.
		int connected = -1;
		for (int tries = 0; connected != 0 && tries < 1000; ++tries) {
			if (tries > 0)
				usleep(10'000);
			connected = connect(from.get(), to.get(), to.size);
		}
		if (connected != 0)
			throw std::system_error(errno, std::generic_category(),
						"connect to " + server.text());
		accepted = Fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
	}
	Fd listener, from, accepted;
};

Config pool_of_three()
{
	Config config = two_families();
	config.roles = AX_ROLE_BACKEND;
	for (Vip &vip : config.vips)
		vip.forward = AX_FORWARD_GUE;
	config.edges = {*Address::parse(kEdge)};
	config.tunnel_addresses = {*Address::parse(kHere)};
	return config;
}

std::uint32_t tag(const std::string &address)
{
	return backend_tag("web/" + address, *Address::parse(address), pool_of_three().hash_seed);
}

Packet tunnelled(const Packet &inner, const std::vector<std::uint32_t> &others,
		 std::uint8_t hops = 0)
{
	Gue gue{.hops = hops, .count = static_cast<std::uint8_t>(others.size())};
	gue.protocol = word_at(inner, 12) == 0x0800 ? 4 : 41;
	std::ranges::copy(others, gue.other.begin());
	return Eth{} / Ip4{.src = kEdge, .dst = kHere} /
	       Udp{.sport = 50000, .dport = AX_GUE_PORT, .checksum = 0} / layer(gue) /
	       inner.slice(kEth);
}

const Packet kSegment = Eth{} / Ip4{} / Tcp{} / Payload(10);
const Packet kSegment6 = Eth{} / Ip6{} / Tcp{} / Payload(10);

void expect_to(const Packet &out, const std::string &source, const std::string &target,
	       std::uint8_t hops)
{
	const Packet header = Eth{} / Ip4{.src = source, .dst = target};
	EXPECT_EQ(bytes_from(out, kEth + 12, 8), bytes_from(header, kEth + 12, 8));
	EXPECT_EQ(internet_checksum(bytes_from(out, kEth, 20)), 0);
	EXPECT_EQ(word_at(out, kEth + 22), AX_GUE_PORT);
	EXPECT_EQ(out[kEth + 28 + 5], hops);
}

class Chance : public BackendTest {
protected:
	void SetUp() override
	{
		ProgramTest::SetUp();
		apply(pool_of_three());
	}
	World world_;
};

TEST_F(Chance, WhoHasTheConnectionKeepsIt)
{
	const Session four({"203.0.113.5", 40000}, {"198.51.100.80", 80});
	const Session six({"2001:db8::5", 40000}, {"2001:db8::80", 80});
	EXPECT_EQ(expect(AX_R_DECAPSULATED, tunnelled(kSegment, {tag(kNext)})).frame, kSegment);
	EXPECT_EQ(expect(AX_R_DECAPSULATED, tunnelled(kSegment6, {tag(kNext)})).frame, kSegment6);
	EXPECT_TRUE(notes().empty());
}

TEST_F(Chance, WhoHasNotPassesItOn)
{
	for (const Packet &segment : {kSegment, kSegment6}) {
		const Outcome outcome =
			expect(AX_R_SECOND_CHANCE, tunnelled(segment, {tag(kNext), tag(kLast)}));
		expect_to(outcome.frame, kHere, kNext, 1);
		EXPECT_EQ(bytes_from(outcome.frame, kEth + 28 + sizeof(ax_gue)),
			  bytes_from(segment, kEth));
	}
	expect_to(
		expect(AX_R_SECOND_CHANCE, tunnelled(kSegment, {tag(kNext), tag(kLast)}, 1)).frame,
		kHere, kLast, 2);
}

// No kernel looks at it on the way: a bad header checksum, or no hop left, ends here.
TEST_F(Chance, WhatIsPassedOnIsCheckedLikeWhatIsSteered)
{
	for (const auto &[reason, segment] :
	     {std::pair{AX_R_IP4_CHECKSUM,
			Packet(Eth{} / Ip4{.checksum = 1} / Tcp{} / Payload(10))},
	      std::pair{AX_R_IP4_TTL_ZERO, Packet(Eth{} / Ip4{.ttl = 0} / Tcp{} / Payload(10))},
	      std::pair{AX_R_IP6_HOP_ZERO,
			Packet(Eth{} / Ip6{.hop_limit = 0} / Tcp{} / Payload(10))}})
		expect(reason, tunnelled(segment, {tag(kNext)}));
	expect(AX_R_TUNNEL_NOT_VIP,
	       tunnelled(Eth{} / Ip4{.dst = "198.51.100.81"} / Tcp{}, {tag(kNext)}));
}

TEST_F(Chance, AListenerAloneIsNoConnection)
{
	const Fd listener = bound({"198.51.100.80", 80});
	ASSERT_EQ(listen(listener.get(), 1), 0);
	expect(AX_R_SECOND_CHANCE, tunnelled(kSegment, {tag(kNext)}));
}

// What a router beyond the edge says of what a server sent to the client.
Packet error4(const Packet &quoted, std::uint8_t type = 3, std::size_t bytes = 28)
{
	return Eth{} / Ip4{.src = "192.0.2.99"} / Icmp4{.type = type, .code = 4, .seq = 1400} /
	       quoted.slice(kEth, bytes);
}
Packet error6(const Packet &quoted)
{
	return Eth{} / Ip6{.src = "2001:db8:7::1"} / Icmp6{.type = 2, .mtu = 1280} /
	       quoted.slice(kEth);
}
const Packet kAnswer = Eth{} / Ip4{.src = "198.51.100.80", .dst = "203.0.113.5"} /
		       Tcp{.sport = 80, .dport = 40000} / Payload(64);
const Packet kAnswer6 = Eth{} / Ip6{.src = "2001:db8::80", .dst = "2001:db8::5"} /
			Tcp{.sport = 80, .dport = 40000} / Payload(64);

// What the kernel answers to a SYN at the listener, sent past all sockets of the client's.
Bytes answer_to(const Packet &syn)
{
	const Fd raw(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
	const Fd ear(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP));
	const timeval patience{5, 0};
	setsockopt(ear.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	const SocketAddress to({"198.51.100.80", 0});
	const Packet datagram = syn.slice(kEth);
	EXPECT_EQ(sendto(raw.get(), datagram.data(), datagram.size(), 0, to.get(), to.size),
		  static_cast<ssize_t>(datagram.size()));
	Bytes heard(1500);
	for (;;) {
		const ssize_t length = recv(ear.get(), heard.data(), heard.size(), 0);
		if (length < 40)
			throw std::runtime_error("no answer to the SYN");
		if (heard[33] == (kSyn | kAck))
			return heard;
	}
}

TEST_F(Chance, AListenerKnowsItsSynCookies)
{
	std::ofstream always("/proc/sys/net/ipv4/tcp_syncookies");
	if (!(always << 2 << std::flush))
		GTEST_SKIP() << "no SYN cookies";
	const Fd listener = bound({"198.51.100.80", 80});
	ASSERT_EQ(listen(listener.get(), 1), 0);
	const Packet syn = Eth{} / Ip4{} / Tcp{.sport = 40000, .seq = 1000, .flags = kSyn};
	const Bytes answer = answer_to(syn);
	const std::uint32_t cookie = static_cast<std::uint32_t>(answer[24]) << 24 |
				     answer[25] << 16 | answer[26] << 8 | answer[27];
	const auto third = [](std::uint32_t ack) {
		return Eth{} / Ip4{} / Tcp{.sport = 40000, .seq = 1001, .ack = ack, .flags = kAck};
	};
	expect(AX_R_DECAPSULATED, tunnelled(third(cookie + 1), {tag(kNext)}));
	expect(AX_R_SECOND_CHANCE, tunnelled(third(cookie + 12345), {tag(kNext)}));
}

// A container: its sockets are in another network namespace, which has a number in this one.
TEST_F(Chance, SocketsMayBeInAnotherNamespace)
{
	Fd there;
	std::optional<Session> session;
	std::thread([&] {
		const World container; // ends on a thread of its own
		there = Fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
		session.emplace(Endpoint{"203.0.113.5", 40000}, Endpoint{"198.51.100.80", 80});
	}).join();
	netlink::Request request(RTM_NEWNSID, NLM_F_ACK);
	request.header<rtgenmsg>().rtgen_family = AF_UNSPEC;
	request.put(NETNSA_NSID, 7U);
	request.put(NETNSA_FD, static_cast<std::uint32_t>(there.get()));
	const auto named = request.send("name a namespace", [](const nlmsghdr *) {});
	ASSERT_TRUE(named) << named.error().message();

	expect(AX_R_SECOND_CHANCE, tunnelled(kSegment, {tag(kNext)}));
	Config config = pool_of_three();
	config.socket_netns = 7;
	apply(config);
	expect(AX_R_DECAPSULATED, tunnelled(kSegment, {tag(kNext)}));
	expect(AX_R_DECAPSULATED, tunnelled(error4(kAnswer), {tag(kNext)}));
	config.socket_netns = 8; // which is nobody's
	apply(config);
	expect(AX_R_SECOND_CHANCE, tunnelled(kSegment, {tag(kNext)}));
}

TEST_F(Chance, OnlySegmentsOfConnectionsAreAskedFor)
{
	for (const Packet &packet :
	     {Eth{} / Ip4{} / Tcp{.flags = kSyn}, Eth{} / Ip4{} / Udp{} / Payload(10),
	      Eth{} / Ip4{.mf = true} / Tcp{} / Payload(12)})
		expect(AX_R_DECAPSULATED, tunnelled(packet, {tag(kNext)}));
	// Without further candidates the stack answers.
	expect(AX_R_DECAPSULATED, tunnelled(kSegment, {}));
	EXPECT_TRUE(notes().empty());
}

TEST_F(Chance, ErrorsFollowTheConnectionTheyAreAbout)
{
	for (const Packet &error : {error4(kAnswer), error4(kAnswer, 11), error6(kAnswer6)}) {
		const Outcome outcome =
			expect(AX_R_SECOND_CHANCE, tunnelled(error, {tag(kNext), tag(kLast)}));
		expect_to(outcome.frame, kHere, kNext, 1);
		EXPECT_EQ(bytes_from(outcome.frame, kEth + 28 + sizeof(ax_gue)),
			  bytes_from(error, kEth));
	}
	EXPECT_TRUE(notes().empty());
	const Fd listener = bound({"198.51.100.80", 80});
	ASSERT_EQ(listen(listener.get(), 1), 0);
	expect(AX_R_SECOND_CHANCE, tunnelled(error4(kAnswer), {tag(kNext)}));
	expect(AX_R_DECAPSULATED, tunnelled(error4(kAnswer), {tag(kNext)}, 1));
	EXPECT_EQ(notes(), (std::map<ax_reason, std::uint64_t>{{AX_R_CANDIDATES_SPENT, 1}}));
}

TEST_F(Chance, WhoHasTheConnectionKeepsErrorsAboutIt)
{
	const Session four({"203.0.113.5", 40000}, {"198.51.100.80", 80});
	const Session six({"2001:db8::5", 40000}, {"2001:db8::80", 80});
	for (const Packet &error : {error4(kAnswer), error6(kAnswer6)})
		EXPECT_EQ(expect(AX_R_DECAPSULATED, tunnelled(error, {tag(kNext)})).frame, error);
	EXPECT_TRUE(notes().empty());
}

TEST_F(Chance, OtherIcmpIsTheStacks)
{
	const auto udp = Eth{} / Ip4{.src = "198.51.100.80", .dst = "203.0.113.5"} /
			 Udp{.sport = 80, .dport = 40000} / Payload(64);
	const auto later =
		Eth{} /
		Ip4{.src = "198.51.100.80", .dst = "203.0.113.5", .offset = 5, .protocol = kTcp} /
		Payload(64);
	expect(AX_R_SECOND_CHANCE, tunnelled(error4(kAnswer), {tag(kNext)})); // leaves its quote
	for (const Packet &packet :
	     {Packet(Eth{} / Ip4{} / Icmp4{.type = 8}), error4(kAnswer, 3, 23), error4(udp),
	      error4(later),
	      Packet(Eth{} / Ip4{.mf = true} / Icmp4{.type = 3} / kAnswer.slice(kEth, 32))})
		expect(AX_R_DECAPSULATED, tunnelled(packet, {tag(kNext)}));
	expect(AX_R_DECAPSULATED, tunnelled(error4(kAnswer), {}));
	expect(AX_R_TUNNEL_NOT_VIP, tunnelled(Eth{} / Ip4{.dst = "198.51.100.81"} /
						      Icmp4{.type = 3} / kAnswer.slice(kEth, 28),
					      {tag(kNext)}));
	EXPECT_EQ(notes().count(AX_R_CANDIDATES_SPENT), 0U);
}

TEST_F(Chance, EndsWhereTheCandidatesEnd)
{
	expect(AX_R_DECAPSULATED, tunnelled(kSegment, {tag(kNext)}, 1));
	EXPECT_EQ(notes(), (std::map<ax_reason, std::uint64_t>{{AX_R_CANDIDATES_SPENT, 1}}));
}

TEST_F(Chance, NamesThatAreNotConfiguredAreSkipped)
{
	expect_to(expect(AX_R_SECOND_CHANCE, tunnelled(kSegment, {12345, tag(kLast)})).frame, kHere,
		  kLast, 2);
	EXPECT_EQ(notes(), (std::map<ax_reason, std::uint64_t>{{AX_R_CANDIDATE_UNKNOWN, 1}}));
	expect(AX_R_DECAPSULATED, tunnelled(kSegment, {12345, 54321}));
	EXPECT_EQ(notes(), (std::map<ax_reason, std::uint64_t>{{AX_R_CANDIDATE_UNKNOWN, 2},
							       {AX_R_CANDIDATES_SPENT, 1}}));
}

TEST_F(Chance, ADownBackendIsAskedAndOneInMaintenanceIsNot)
{
	Config config = pool_of_three();
	config.pools[0].backends[1].state = AX_BACKEND_DOWN;
	config.pools[0].backends[2].state = AX_BACKEND_MAINTENANCE;
	apply(config);
	expect_to(expect(AX_R_SECOND_CHANCE, tunnelled(kSegment, {tag(kLast), tag(kNext)})).frame,
		  kHere, kNext, 2);
}

// Whatever the header says and whoever gets it: three backends, and then it ends.
TEST_F(Chance, NeverGoesRoundInCircles)
{
	Config config = pool_of_three();
	for (const Backend &backend : config.pools[0].backends)
		config.tunnel_addresses.push_back(backend.address);
	apply(config);
	Packet packet = tunnelled(kSegment, {tag(kNext), tag(kHere)});
	int hops = 0;
	for (; hops < 10; ++hops) {
		const Outcome outcome = send(packet);
		if (outcome.reason != AX_R_SECOND_CHANCE) {
			EXPECT_EQ(outcome.reason, AX_R_DECAPSULATED);
			break;
		}
		packet = outcome.frame;
	}
	EXPECT_EQ(hops, 2);
}

class LocalChance : public BothRolesTest {
protected:
	World world_;
};

TEST_F(LocalChance, AnEdgeAsksItselfFirst)
{
	Config config = pool_of_three();
	config.roles = AX_ROLE_EDGE | AX_ROLE_BACKEND;
	NodeFacts facts;
	for (const Backend &backend : config.pools[0].backends)
		facts.node_addresses.push_back(backend.address);
	// Everybody is this node: then there is nobody else.
	apply(config, facts);
	expect(AX_R_LOCAL, kSegment);
	EXPECT_EQ(notes().count(AX_R_CANDIDATES_SPENT), 1U);

	// Of three, one is: its flows go on to their other candidate.
	facts.node_addresses.resize(1);
	apply(config, facts);
	reset_flows();
	for (std::uint16_t port = 1000; port < 1100; ++port) {
		const Outcome syn = send(Eth{} / Ip4{} / Tcp{.sport = port, .flags = kSyn});
		if (syn.reason != AX_R_LOCAL)
			continue;
		const Outcome later =
			expect(AX_R_SECOND_CHANCE, Eth{} / Ip4{} / Tcp{.sport = port});
		const ax_slot &slot = image().slots[image().pools[0].first + *syn.slot];
		const Address other(image().backends[slot.backend[1]].addr);
		expect_to(later.frame, "192.0.2.1", other.text(), 1);
		const Packet answer = Eth{} / Ip4{.src = "198.51.100.80", .dst = "203.0.113.5"} /
				      Tcp{.sport = 80, .dport = port} / Payload(64);
		expect_to(expect(AX_R_SECOND_CHANCE, error4(answer)).frame, "192.0.2.1",
			  other.text(), 1);
		const Session kept({"203.0.113.5", port}, {"198.51.100.80", 80});
		expect(AX_R_LOCAL, error4(answer));
		return;
	}
	FAIL() << "no flow of a hundred is this node's";
}

} // namespace
} // namespace anycast::test
