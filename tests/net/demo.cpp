// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `make demo`: what anycast-xdp is for, shown with real daemons and real traffic in a lab of its
// own (tests/support/lab.h). Ends with 1 if one of the points does not hold.
#include <cmath>
#include <chrono>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "net/demo_report.h"
#include "support/bad_frames.h"
#include "support/cli.h"
#include "support/isolation.h"
#include "support/raw_sender.h"
#include "support/to_the_second.h"
#include "support/traffic.h"

namespace anycast::test {

namespace {

constexpr int kRequests = 900;
constexpr int kCopies = 5;			 // of each malformed frame
constexpr int kSpoofed = 200;			 // rounds of spoofed BGP for each edge
constexpr std::uint64_t kUploadBytes = 16 << 20; // each
constexpr int kUploads = 4;
// Round trips under load take more than a tick of the timestamps' clock, and what is in flight fits
// into the queues on the way: nothing but the dropper loses anything.
constexpr unsigned kLine = 100; // Mbit/s
constexpr int kSendBuffer = 128 << 10;
constexpr unsigned kLossPer10000 = 100;
constexpr std::uint64_t kDownloadBytes = 16 << 20;
constexpr std::uint64_t kDownloadRate = 2 << 20; // bytes a second

std::string text_of(const Mac &mac)
{
	return fmt::format("{:02x}", fmt::join(mac, ":"));
}

// What happens to the edge while the download goes on in another thread.
struct Vanishing {
	std::size_t carrier = 0;
	std::vector<std::uint64_t> steered; // by edge, just before
	std::chrono::steady_clock::time_point pulled, rerouted;
	std::uint64_t bytes_pulled = 0, bytes_rerouted = 0; // that the client had then
	bool one_next_hop = false;
};

class Demo {
public:
	int run();

private:
	void attach();
	void shares();
	void gtsm();
	void malformed();
	void loss();
	void machines();
	void failover();
	Vanishing pull_the_carriers_cable(const SlowDownload &download,
					  const std::vector<std::uint64_t> &before);

	std::vector<std::uint64_t> steered() const; // by edge
	Stats settled_drops(const Node &edge, const Stats &before, std::uint64_t expected) const;
	void answering(const std::string &when, const std::vector<bool> &expected);

	Report report_;
	Cli cli_;
	Lab lab_{kDownloadBytes};
};

std::string first_line(const std::string &text)
{
	return text.substr(0, text.find('\n'));
}

std::vector<std::uint64_t> Demo::steered() const
{
	std::vector<std::uint64_t> result;
	for (const auto &edge : lab_.edges)
		result.push_back(cli_.stats(edge->netns).of("steered"));
	return result;
}

std::uint64_t total_of(const Stats &stats)
{
	std::uint64_t total = 0;
	for (const auto &[label, packets] : stats.reasons)
		total += packets;
	return total;
}

// Frames cross two links and a softirq on their way: waits until so many more have been dropped.
Stats Demo::settled_drops(const Node &edge, const Stats &before, std::uint64_t expected) const
{
	Stats now;
	wait_until(milliseconds(2000), [&] {
		now = cli_.drops(edge.netns);
		return total_of(now) >= total_of(before) + expected;
	});
	return now;
}

void Demo::attach()
{
	report_.section("0  The lab: client - router - {{edge1, edge2}} and backends {{b1, b2, "
			"b3}}, VIP {}",
			kVip);
	lab_.start_servers();
	lab_.start_routing();
	report_.check(lab_.sessions_established(), "BIRD: two eBGP sessions Established, BFD Up");
	report_.check(lab_.next_hops() == 2, "the router's kernel has {} next hops for the VIP",
		      lab_.next_hops());
	lab_.resolve_neighbours();
	for (const auto &backend : lab_.backends)
		report_.say("{}: {}", backend->netns.name(),
			    first_line(cli_.attach_backend(lab_, *backend)));
	for (const auto &edge : lab_.edges)
		report_.say("{}: {}", edge->netns.name(),
			    first_line(cli_.attach_edge(lab_, *edge)));
	if (const std::size_t flaps = lab_.await_calm())
		report_.say("this machine is busy: BFD closed {} sessions meanwhile", flaps);
	const Reply reply = http_get(lab_.client, kWww, "/");
	report_.check(reply.ok, "first request over the VIP answered by {}{}",
		      first_line(reply.body), reply.error);
}

void Demo::shares()
{
	report_.section("1  {} HTTP requests: each backend's share beside the table's", kRequests);
	const auto before = steered();
	std::map<std::string, int> answers;
	int bad = 0;
	for (int i = 0; i < kRequests; i++) {
		const Reply reply = http_get(lab_.client, kWww, "/");
		answers[first_line(reply.body)]++;
		if (!reply.ok && bad++ == 0)
			report_.say("first failure: {}", reply.error);
	}
	report_.check(bad == 0, "{} of {} requests answered", kRequests - bad, kRequests);

	for (const BackendStats &backend : cli_.stats(lab_.edges[0]->netns).backends) {
		const int got = answers[backend.name];
		const double expected = kRequests * backend.share;
		// Binomial: five standard deviations fail one run in 600,000 for each backend.
		const double tolerance = 5 * std::sqrt(expected * (1 - backend.share));
		report_.check(std::abs(got - expected) <= tolerance,
			      "{}: {:3} answers = {:4.1f} %   table {:4.1f} % = {:.0f} +- {:.0f}",
			      backend.name, got, 100.0 * got / kRequests, 100 * backend.share,
			      expected, tolerance);
	}
	const auto after = steered();
	report_.check(after[0] > before[0] && after[1] > before[1],
		      "both edges steered: edge1 {} packets, edge2 {}", after[0] - before[0],
		      after[1] - before[1]);
}

void Demo::gtsm()
{
	report_.section("2  Spoofed BGP with TTL 64, in the router's name (RFC 5082)");
	const std::string before = to_the_second(lab_.router_bird->ask("show protocols"));
	const RawSender sender(lab_.router_lan());
	for (const auto &edge : lab_.edges) {
		const auto frames = spoofed_bgp(text_of(sender.mac()), text_of(mac_of(edge->nic())),
						kRouterAddress, edge->address);
		const Stats counted = cli_.drops(edge->netns);
		std::uint64_t sent = 0;
		for (int i = 0; i < kSpoofed / static_cast<int>(frames.size()); i++)
			for (const Packet &frame : frames) {
				sender.send(frame);
				sent++;
			}
		const std::uint64_t dropped =
			settled_drops(*edge, counted, sent).of("gtsm_ttl") - counted.of("gtsm_ttl");
		report_.check(dropped == sent, "{}: {} sent, {} dropped as gtsm_ttl",
			      edge->netns.name(), sent, dropped);
	}
	// The lines carry the time of the last change.
	const std::string after = to_the_second(lab_.router_bird->ask("show protocols"));
	report_.check(lab_.sessions_established() && after == before,
		      "both sessions stayed Established{}",
		      after == before ? "" : "\n" + before + after);
}

void Demo::malformed()
{
	report_.section("3  Malformed frames to the VIP, {} of each", kCopies);
	const Node &edge = *lab_.edges[0];
	const RawSender sender(lab_.router_lan());
	const auto frames = malformed_frames(text_of(sender.mac()), text_of(mac_of(edge.nic())));
	const Stats before = cli_.drops(edge.netns);
	for (const BadFrame &bad : frames)
		for (int i = 0; i < kCopies; i++)
			sender.send(bad.frame);
	const Stats after = settled_drops(edge, before, frames.size() * kCopies);
	const std::uint64_t total = total_of(after) - total_of(before);
	for (const BadFrame &bad : frames) {
		const std::uint64_t dropped = after.of(bad.rule) - before.of(bad.rule);
		report_.check(dropped == kCopies, "{:18} {:2} dropped   {}", bad.rule, dropped,
			      bad.what);
	}
	report_.check(total == frames.size() * kCopies, "{} sent, {} dropped: nothing else was",
		      frames.size() * kCopies, total);
}

void Demo::loss()
{
	report_.section(
		"4  Loss before the edges: {} uploads of {} MiB, {:.1f} % of the segments dropped",
		kUploads, kUploadBytes >> 20, kLossPer10000 / 100.0);
	report_.say("the client's line has {} Mbit/s", kLine);
	shape({lab_.client, "eth0"}, kLine);
	lab_.programs.drop(20260101, kLossPer10000, kVip, kSink.port);
	for (int i = 0; i < kUploads; i++) {
		const Upload sent =
			upload(lab_.client, kSink, kUploadBytes,
			       {.limit = milliseconds(30000), .send_buffer = kSendBuffer});
		if (!sent.ok)
			report_.check(false, "upload {}: {}", i + 1, sent.error);
	}
	lab_.programs.stop_dropping();
	const DropperCounts truth = lab_.programs.dropped();

	LossTotals reported;
	for (const auto &edge : lab_.edges)
		reported += cli_.loss(edge->netns, "sink");
	report_.check(reported.flows == kUploads && reported.unmeasured == 0,
		      "`loss` lists {} flows, {} of them without a figure", reported.flows,
		      reported.unmeasured);
	for (const auto *table : {&reported.kinds, &reported.bases})
		for (const auto &[word, flows] : *table)
			report_.say("{}: {} of {} flows", word, flows, reported.flows);
	const double error = truth.first_lost
				     ? 100.0 * (static_cast<double>(reported.lost) /
							static_cast<double>(truth.first_lost) -
						1)
				     : 100;
	report_.say("                    truth   reported");
	report_.say("segments         {:8}   {:8}", truth.segments, reported.of);
	report_.say("lost             {:8}   {:8}   ({} lost retransmissions besides)",
		    truth.first_lost, reported.lost, truth.again_lost);
	report_.say("reordered        {:8}   {:8}", 0, reported.reordered);
	report_.say("blind spots: evicted {}, unrepaired {}, resync {}, retransmissions seen {}",
		    reported.evicted, reported.unrepaired, reported.resync, reported.rtx_seen);
	report_.check(truth.first_lost >= 100, "the dropper lost {} first transmissions",
		      truth.first_lost);
	report_.check(std::abs(error) <= 5, "reported {:+.1f} % off the truth (at most 5)", error);
}

// `expected`: which edges must have carried requests, and which must not.
void Demo::answering(const std::string &when, const std::vector<bool> &expected)
{
	constexpr int kProbes = 60;
	const auto before = steered();
	std::map<std::string, int> answers;
	int good = 0;
	for (int i = 0; i < kProbes; i++) {
		const Reply reply = http_get(lab_.client, kWww, "/");
		good += reply.ok;
		answers[first_line(reply.body)]++;
	}
	const auto after = steered();
	bool right = good == kProbes;
	std::string carried, names;
	for (std::size_t i = 0; i < expected.size(); i++) {
		right = right && (after[i] > before[i]) == expected[i];
		carried += fmt::format("{}edge{} {} packets", i ? ", " : "", i + 1,
				       after[i] - before[i]);
	}
	for (const auto &[name, number] : answers)
		names += fmt::format(" {} {}", name, number);
	report_.check(right, "{}: {} of {} answered ({} ); {}", when, good, kProbes, names,
		      carried);
}

void Demo::machines()
{
	report_.section("5  Machine 1, machine 2, both: edges stopped and started, the VIP goes on "
			"answering");
	lab_.stop_edge(1, true);
	report_.check(lab_.await_next_hops(1, milliseconds(5000)), "edge2 stopped: one next hop");
	answering("edge1 alone", {true, false});
	lab_.start_edge(1);
	lab_.stop_edge(0, true);
	report_.check(lab_.await_next_hops(1, milliseconds(5000)),
		      "edge2 started, edge1 stopped: one next hop");
	answering("edge2 alone", {false, true});
	lab_.start_edge(0);
	report_.check(lab_.next_hops() == 2, "edge1 started: two next hops");
	answering("both", {true, true});
}

double seconds(std::chrono::steady_clock::duration duration)
{
	return std::chrono::duration<double>(duration).count();
}

Vanishing Demo::pull_the_carriers_cable(const SlowDownload &download,
					const std::vector<std::uint64_t> &before)
{
	Vanishing event;
	if (!download.await_bytes(kDownloadBytes / 3, milliseconds(15000)))
		return event;
	event.steered = steered();
	event.carrier = event.steered[0] - before[0] > event.steered[1] - before[1] ? 0 : 1;
	event.bytes_pulled = download.bytes();
	event.pulled = std::chrono::steady_clock::now();
	lab_.stop_edge(event.carrier, false);
	event.one_next_hop = lab_.await_next_hops(1, milliseconds(5000));
	event.rerouted = std::chrono::steady_clock::now();
	event.bytes_rerouted = download.bytes();
	return event;
}

void Demo::failover()
{
	report_.section("6  A download of {} MiB at {} MiB/s; the edge that carries it disappears",
			kDownloadBytes >> 20, kDownloadRate >> 20);
	const std::vector<std::uint64_t> before = steered();
	SlowDownload download(lab_.client, kWww, kDownloadRate);
	const Vanishing event = pull_the_carriers_cable(download, before);
	const Download got = download.finish();
	const auto after = steered();
	if (!event.one_next_hop) {
		report_.check(false, "one next hop is left; download: {} bytes {}", got.bytes,
			      got.error);
		return;
	}
	const std::size_t other = 1 - event.carrier;
	const auto moved = [&](std::size_t edge) { return event.steered[edge] - before[edge]; };
	report_.check(moved(other) == 0 && moved(event.carrier) > 100,
		      "edge{} alone carries it: {} packets so far, edge{} {}", event.carrier + 1,
		      moved(event.carrier), other + 1, moved(other));
	report_.say("edge{}'s cable pulled and its BIRD killed after {:.1f} MiB", event.carrier + 1,
		    static_cast<double>(event.bytes_pulled) / (1 << 20));
	report_.check(event.bytes_rerouted < kDownloadBytes / 2,
		      "BFD left the router one next hop {:.2f} s later, {:.1f} MiB still to come",
		      seconds(event.rerouted - event.pulled),
		      static_cast<double>(kDownloadBytes - event.bytes_rerouted) / (1 << 20));
	report_.check(got.ok && got.bytes == kDownloadBytes,
		      "{} bytes in {:.1f} s, the last one {:.1f} s after the router's change{}",
		      got.bytes, got.seconds, seconds(got.ended - event.rerouted),
		      got.ok ? "" : ": " + got.error);
	report_.check(sha256(lab_.client, SlowDownload::kCopy) == lab_.big_sha256,
		      "checksum right: {}...", lab_.big_sha256.substr(0, 16));
	report_.check(after[other] > event.steered[other], "edge{} carried the rest: {} packets",
		      other + 1, after[other] - event.steered[other]);
	// The edge carries the ACKs only: the client notices once the server has sent a window.
	report_.check(got.longest_silence > 0.3 &&
			      std::abs(seconds(got.silence_began - event.pulled)) < 1,
		      "outage seen by the client: {:.2f} s, from {:.2f} s after the pull (BFD 3 x "
		      "300 ms, then TCP's next retransmission)",
		      got.longest_silence, seconds(got.silence_began - event.pulled));
}

int Demo::run()
{
	const auto start = std::chrono::steady_clock::now();
	if (!cli_.exists())
		throw LabError(cli_.binary() + " is missing: run make first");
	attach();
	shares();
	gtsm();
	malformed();
	loss();
	machines();
	failover();
	if (report_.failed())
		fmt::print("\nwhat BIRD on the router said:\n{}", lab_.router_bird->log());
	return report_.conclude(seconds(std::chrono::steady_clock::now() - start));
}

} // namespace

} // namespace anycast::test

int main()
{
	return anycast::test::run_isolated([] { return anycast::test::Demo().run(); });
}
