// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/live.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include "support/isolation.h"
#include "support/netns.h"
#include "support/packet.h"
#include "util/fd.h"

#include "bench/lab_child.h"
#include "bench/node.h"
#include "bench/rotation.h"

#include "live.skel.h"

namespace anycast::bench {

namespace {

using test::Eth, test::Ip4, test::LabError, test::LinkEnd, test::Netns, test::Packet, test::Tcp;

constexpr const char *kReceiver = "axbench0", *kSender = "axbench1";
constexpr std::uint32_t kChunk = 1 << 16;

struct Kind {
	const char *name, *about;
	Packet packet;
	int reason; // -1: an empty program that drops
};

std::vector<Kind> kinds()
{
	const Packet good = Eth{} / Ip4{.src = "104.1.0.1", .dst = kVip4} / Tcp{.dport = 80};
	const Packet bad = Eth{} / Ip4{.src = "104.1.0.1", .dst = kVip4} /
			   Tcp{.dport = 80, .flags = test::kSyn | test::kFin};
	const Packet other = Eth{} / Ip4{.src = "104.1.0.1", .dst = kNoVip4} / Tcp{.dport = 80};

	return {
		{"live-empty", "dropped by a program that does nothing else", good, -1},
		{"live-drop", "malformed, dropped", bad, AX_R_TCP_SYN_FIN},
		{"live-pass", "not for a VIP: to the stack, which finds it for another host", other,
		 AX_R_NOT_VIP},
		{"live-steer", "known flow, steered back by IPIP (XDP_TX)", good, AX_R_STEERED},
	};
}

// The outer process table, which a pid namespace hides: opened before.
class Threads {
public:
	Threads() : proc_(::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}

	// What the receiver's NAPI threads have run so far; negative: there are none.
	[[nodiscard]] double ns_of(const std::string &device) const
	{
		const std::string prefix = "napi/" + device;
		const std::unique_ptr<DIR, int (*)(DIR *)> all(::fdopendir(::dup(proc_.get())),
							       ::closedir);
		double sum = 0;
		int threads = 0;

		if (!all)
			return -1;
		::rewinddir(all.get());
		while (const dirent *entry = ::readdir(all.get())) {
			const std::string id = entry->d_name;
			if (id.find_first_not_of("0123456789") != std::string::npos)
				continue;
			if (!text_of(id + "/comm").starts_with(prefix))
				continue;
			sum += std::strtod(text_of(id + "/schedstat").c_str(), nullptr);
			++threads;
		}
		return threads ? sum : -1;
	}

private:
	[[nodiscard]] std::string text_of(const std::string &path) const
	{
		const Fd file(::openat(proc_.get(), path.c_str(), O_RDONLY | O_CLOEXEC));
		std::string text(64, '\0');
		const ssize_t got = file.valid() ? ::read(file.get(), text.data(), text.size()) : 0;

		text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
		return text;
	}
	Fd proc_;
};

struct CloseLive {
	void operator()(live_bpf *skeleton) const { live_bpf__destroy(skeleton); }
};
using LiveSkeleton = std::unique_ptr<live_bpf, CloseLive>;

LiveSkeleton sender_of(const Packet &packet, std::uint32_t ifindex)
{
	LiveSkeleton live(live_bpf__open());

	if (!live)
		throw LabError("open the sender");
	live->rodata->live_ifindex = ifindex;
	std::memcpy(const_cast<__u8 *>(live->rodata->live_template), packet.data(), BENCH_RESTORED);
	if (live_bpf__load(live.get()))
		throw LabError("load the sender");
	return live;
}

void send_frames(int program, const Packet &packet, std::uint32_t frames)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet.data(),
		    .data_size_in = static_cast<std::uint32_t>(packet.size()),
		    .repeat = static_cast<int>(frames), .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
		    .batch_size = 64);

	if (bpf_prog_test_run_opts(program, &options))
		throw LabError(fmt::format("send live frames: {}", std::strerror(errno)));
}

void put(const Netns &netns, const char *device, int program)
{
	netns.run([&] {
		const auto index = static_cast<int>(if_nametoindex(device));
		if (bpf_xdp_attach(index, program, XDP_FLAGS_DRV_MODE, nullptr))
			throw LabError(fmt::format("attach to {}", device));
	});
	// 1: each queue's NAPI is a thread, so that what it runs can be told from all else
	std::ofstream(netns.sysfs() + "/class/net/" + device + "/threaded") << 1;
}

class Line {
public:
	explicit Line(const Threads &threads) : threads_(threads)
	{
		test::connect_veth({node_, kReceiver}, {sender_, kSender}, 1500);
	}

	nlohmann::json measure(const Kind &kind, std::size_t rounds, std::chrono::milliseconds each)
	{
		const Packet packet = kind.packet.pad(BENCH_RESTORED);
		const auto out = sender_.run([] { return if_nametoindex(kSender); });
		const LiveSkeleton live = sender_of(packet, out);
		NodeOptions options;
		options.ifindex = node_.run([] { return if_nametoindex(kReceiver); });
		auto program = load_node(options);
		if (!program)
			throw LabError(program.error().message());
		const int sink = bpf_program__fd(live->progs.live_sink);
		const int send = bpf_program__fd(live->progs.live_send);

		put(sender_, kSender, sink);
		put(node_, kReceiver, kind.reason < 0 ? sink : program->fd());
		sender_.run([&] { send_frames(send, packet, kChunk); }); // warm
		if (threads_.ns_of(kReceiver) < 0)
			throw LabError("no NAPI thread: the kernel has none, or hides it");
		nlohmann::json result{{"rates", nlohmann::json::array()},
				      {"ns", nlohmann::json::array()}};
		for (std::size_t i = 0; i < rounds; ++i) {
			const auto start = std::chrono::steady_clock::now();
			const double cpu = threads_.ns_of(kReceiver);
			const std::uint64_t before = seen(kind, *program);
			std::chrono::duration<double> took{};
			do {
				sender_.run([&] { send_frames(send, packet, kChunk); });
				took = std::chrono::steady_clock::now() - start;
			} while (took < each);
			const auto packets = static_cast<double>(seen(kind, *program) - before);
			if (packets < 1000)
				throw LabError(fmt::format("{}: {} packets met the reason",
							   kind.name, packets));
			result["rates"].push_back(packets / took.count() / 1e6);
			result["ns"].push_back((threads_.ns_of(kReceiver) - cpu) / packets);
		}
		return result;
	}

private:
	// The empty program counts nothing; the driver does.
	std::uint64_t seen(const Kind &kind, Program &program) const
	{
		if (kind.reason >= 0)
			return count_of(program.dataplane(), kind.reason);
		std::ifstream file(node_.sysfs() + "/class/net/" + kReceiver +
				   "/statistics/rx_packets");
		std::uint64_t packets = 0;
		file >> packets;
		return packets;
	}

	const Threads &threads_;
	Netns node_{"node"}, sender_{"sender"};
};

} // namespace

Result<std::vector<Live>> live_runs(bool quick, std::string &why)
{
	const std::size_t rounds = quick ? 3 : 9;
	const std::chrono::milliseconds each(quick ? 150 : 400);
	const Threads threads;
	std::vector<Live> found;

	const auto json = in_lab([&] {
		Line line(threads);
		nlohmann::json all;
		for (const Kind &kind : kinds())
			all[kind.name] = line.measure(kind, rounds, each);
		return all;
	});
	if (!json) {
		why = json.error().message();
		return found;
	}
	for (const Kind &kind : kinds()) {
		const auto &one = (*json)[kind.name];
		found.push_back({kind.name, kind.about,
				 summarise(one["rates"].get<std::vector<double>>()),
				 summarise(one["ns"].get<std::vector<double>>())});
	}
	return found;
}

} // namespace anycast::bench
