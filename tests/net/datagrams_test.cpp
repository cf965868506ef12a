// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// UDP services: fragments that reach several nodes in any order, and clients that move.
#include <algorithm>
#include <set>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "support/attached_lab.h"
#include "support/in_lab.h"
#include "support/packet.h"
#include "support/protocols.h"
#include "support/raw_sender.h"
#include "support/udp.h"

namespace anycast::test {

namespace {

constexpr std::size_t kLarge = 5000, kPiece = 1376; // a link of 1400 bytes, in units of 8
constexpr std::uint16_t kPort = 43000;

std::string text_of(const Mac &mac)
{
	return fmt::format("{:02x}", fmt::join(mac, ":"));
}

void start_echoes(Lab &lab)
{
	for (auto &backend : lab.backends) {
		// The lab's segment takes 1600 bytes, the way to the client does not.
		backend->netns.ip(std::string("route replace default via ") + kRouterAddress +
				  " mtu 1400\nroute replace ::/0 via " + kRouterAddress6 +
				  " mtu 1400");
		for (const Endpoint &endpoint : {kEcho, kEcho6})
			backend->servers.push_back(serve_echo(backend->netns, endpoint));
	}
}

// What the UDP client sends, cut by a link of 1400 bytes: without Ethernet headers.
std::vector<Packet> fragments(bool six, std::uint16_t id)
{
	Bytes data(kLarge);
	for (std::size_t i = 0; i < data.size(); i++)
		data[i] = static_cast<std::uint8_t>(i * 7);
	const Ip4 ip4{.src = kClientAddress, .dst = kVip};
	const Ip6 ip6{.src = "2001:db8:203::10", .dst = kVip6};
	const Udp udp{.sport = kPort, .dport = kEcho.port};
	const Packet whole =
		six ? Packet(Eth{} / ip6 / udp / Raw{data}) : Packet(Eth{} / ip4 / udp / Raw{data});
	const std::size_t header = six ? 54 : 34;
	std::vector<Packet> pieces;
	for (std::size_t at = 0; header + at < whole.size(); at += kPiece) {
		const bool more = header + at + kPiece < whole.size();
		const auto offset = static_cast<std::uint16_t>(at / 8);
		const Raw part = whole.slice(header + at, kPiece);
		if (six)
			pieces.push_back(ip6 /
					 Ip6Frag{.offset = offset,
						 .mf = more,
						 .id = id,
						 .next_header = kUdp} /
					 part);
		else
			pieces.push_back(Ip4{.src = kClientAddress,
					     .dst = kVip,
					     .id = id,
					     .mf = more,
					     .offset = offset,
					     .protocol = kUdp} /
					 part);
	}
	return pieces;
}

// What arrives at the client's port within the limit.
std::string receive(const Fd &socket)
{
	std::string buffer(65536, 0);
	const ssize_t got = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
	buffer.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
	return buffer;
}

Fd client_socket(const Lab &lab, bool six)
{
	const SocketAddress from({six ? "::" : "0.0.0.0", kPort});
	Fd fd = lab.client.run(
		[&] { return Fd(::socket(from.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0)); });
	const timeval limit{2 * slowness(), 0};
	if (fd.get() < 0 || ::bind(fd.get(), from.get(), from.size) != 0 ||
	    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0)
		throw LabError("no UDP socket for the client");
	return fd;
}

} // namespace

TEST(Datagrams, FragmentsSplitOverTwoEdgesAndReorderedMeetAtOneBackend)
{
	in_lab([] {
		AttachedLab lab({.six = true, .udp = true});
		start_echoes(lab);
		const RawSender sender(lab.router_lan());
		for (const bool six : {false, true}) {
			const Fd socket = client_socket(lab, six);
			std::set<std::string> servers;
			for (std::uint16_t id = 1; id <= 12; id++) {
				auto pieces = fragments(six, id);
				ASSERT_EQ(pieces.size(), 4U);
				// every order of which is first, each piece by the other edge
				std::rotate(pieces.begin(), pieces.begin() + id % 4, pieces.end());
				if (id % 2)
					std::reverse(pieces.begin(), pieces.end());
				for (std::size_t i = 0; i < pieces.size(); i++) {
					const Node &edge = *lab.edges[(i + id / 4) % 2];
					sender.send(Eth{.dst = text_of(mac_of(edge.nic())),
							.src = text_of(sender.mac())} /
						    pieces[i]);
				}
				const std::string answer = receive(socket);
				const std::size_t line = answer.find('\n');
				ASSERT_NE(line, answer.npos)
					<< "no answer to datagram " << id << (six ? " (6)" : "");
				EXPECT_EQ(answer.size() - line - 1, kLarge);
				servers.insert(answer.substr(0, line));
			}
			EXPECT_EQ(servers.size(), 1U);
		}
		for (const auto &edge : lab.edges) {
			EXPECT_EQ(lab.cli.stats(edge->netns).of("steered_fragment"), 48U);
			EXPECT_TRUE(lab.cli.drops(edge->netns).reasons.empty());
		}
	});
}

TEST(Datagrams, WithNotesAClientsLargeRequestsGoWhereItsSmallOnesGo)
{
	in_lab([] {
		AttachedLab lab(
			{.six = true, .udp = true, .pool_options = "fragments = \"notes\"\n"});
		start_echoes(lab);
		std::set<std::string> servers;
		// The first answer waits until router and client have found each other.
		for (const Endpoint &echo : {kEcho, kEcho6})
			ASSERT_NE(UdpClient(lab.client, echo, false).ask(100, 25), "");
		for (const Endpoint &echo : {kEcho, kEcho6})
			for (std::uint16_t port = 43100; port < 43112; port++) {
				UdpClient client(lab.client, echo, false, port);
				const std::string small = client.ask(100);
				EXPECT_NE(small, "");
				EXPECT_EQ(client.ask(kLarge), small) << port;
				EXPECT_EQ(client.sent(), kLarge);
				servers.insert(small);
			}
		EXPECT_GT(servers.size(), 1U);
		EXPECT_GT(lab.cli.stats(lab.edge()).of("steered_fragment"), 24U);
	});
}

TEST(Datagrams, AQuicClientThatMovesKeepsItsBackend)
{
	in_lab([] {
		Lab lab;
		const Cli cli;
		start_echoes(lab);
		lab.resolve_neighbours();
		for (const auto &edge : lab.edges) {
			std::string text = edge_config(
				lab, *edge, {.udp = true, .pool_options = "hash = \"quic\"\n"});
			for (const auto &backend : lab.backends) {
				const std::string address = "\"" + backend->address + "\"\n";
				text.insert(text.find(address) + address.size(),
					    "server_id = \"0a" + backend->address.substr(7) +
						    "\"\n");
			}
			cli.expect(edge->netns,
				   {"attach", "eth0", "--config", write_config(*edge, text)});
		}
		for (const auto &backend : lab.backends)
			cli.attach_backend(lab, *backend);
		for (const auto &backend : lab.backends) {
			// A short header, a connection id with this server in it.
			const std::string id = "0a" + backend->address.substr(7);
			Bytes packet{0x45, 0x07};
			const Bytes server = Packet::from_hex(id).bytes();
			packet.insert(packet.end(), server.begin(), server.end());
			packet.resize(60, 0x55);
			for (std::uint16_t port = 43200; port < 43210; port++)
				for (const auto &edge : lab.edges) { // and the route with it
					lab.route_to(*edge);
					UdpClient client(lab.client, kEcho, false, port);
					EXPECT_EQ(client.ask_with(packet), backend->netns.name());
				}
		}
	});
}

} // namespace anycast::test
