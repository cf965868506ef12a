// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/leaving.h"

#include <array>
#include <memory>

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/pkt_cls.h>

#include "kernel/egress.h"
#include "kernel/map.h"

#include "bench/node.h"
#include "bench/rotation.h"
#include "leaving.skel.h"

namespace anycast::bench {

namespace {

constexpr std::uint32_t k16K = 1 << 14, k1M = 1 << 20, k256K = 1 << 18;

struct Close {
	void operator()(leaving_bpf *skeleton) const { leaving_bpf__destroy(skeleton); }
};

// The wrapper around a tc program; -1: around one that does nothing.
class Leaving {
public:
	static Result<Leaving> around(int program, const LeavingCase &what)
	{
		const std::uint32_t zero = 0;
		Leaving leaving;

		leaving.packet_ = test::Eth{} / test::Ip4{.src = what.source, .dst = "104.1.0.1"} /
				  test::Packet(test::Tcp{.sport = 80, .flags = test::kAck}) /
				  test::Packet(test::Payload(what.payload));
		leaving.skeleton_.reset(leaving_bpf__open());
		if (!leaving.skeleton_)
			return fail_errno("open the wrapper of tc programs", errno);
		leaving.skeleton_->rodata->leaving_mask = what.flows - 1;
		// of one flow in order; of many, each its one segment
		leaving.skeleton_->rodata->leaving_step = what.flows == 1 ? what.payload : 0;
		if (int error = leaving_bpf__load(leaving.skeleton_.get()))
			return fail_errno("load the wrapper of tc programs", error);
		if (program < 0)
			program = bpf_program__fd(leaving.skeleton_->progs.leaving_floor);
		if (bpf_map_update_elem(bpf_map__fd(leaving.skeleton_->maps.leaving_jump), &zero,
					&program, BPF_ANY) != 0)
			return fail_errno("jump from the wrapper to the tc program", errno);
		return leaving;
	}

	Result<double> run(std::uint32_t repeat)
	{
		LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet_.data(),
			    .data_size_in = static_cast<std::uint32_t>(packet_.size()),
			    .repeat = static_cast<int>(repeat));
		if (int error = bpf_prog_test_run_opts(
			    bpf_program__fd(skeleton_->progs.leaving_wrapper), &options))
			return fail_errno("run the wrapper of tc programs", error);
		if (static_cast<int>(options.retval) != TC_ACT_UNSPEC)
			return fail(Exit::kFailed, fmt::format("a tc program returned {}",
							       static_cast<int>(options.retval)));
		return options.duration;
	}

private:
	Leaving() = default;
	std::unique_ptr<leaving_bpf, Close> skeleton_;
	test::Packet packet_;
};

Result<std::size_t> entries_of(const egress::Loaded &egress)
{
	std::size_t found = 0;
	auto map = Map::from_fd(egress.flows());

	if (!map)
		return tl::unexpected(map.error());
	AX_TRY(map->for_each([&](const std::byte *, const std::byte *) { ++found; }));
	return found;
}

struct Node {
	Program program;
	egress::Loaded egress;
};

Result<Node> load_both(std::uint32_t flows)
{
	NodeOptions options;

	options.flows4 = flows;
	options.serves = true;
	auto program = load_node(options);
	if (!program)
		return tl::unexpected(program.error());
	auto egress = egress::Loaded::load(program->dataplane(), "");
	if (!egress)
		return tl::unexpected(egress.error());
	return Node{std::move(*program), std::move(*egress)};
}

} // namespace

std::vector<LeavingCase> leaving_cases()
{
	return {
		{"egress", "leaving: TCP data of a VIP, 1 flow, in order", kVip4},
		{"egress-ack", "leaving: TCP ACK of a VIP, 1 flow", kVip4, 1, true, 0},
		{"egress-16k", "leaving: TCP ACK of a VIP, 16k flows", kVip4, k16K, true, 0},
		{"egress-new", "leaving: TCP data of a VIP, new flow", kVip4, k1M, false},
		{"egress-other", "leaving: of no VIP", kNoVip4},
	};
}

Result<Outcome> run_leaving(const LeavingCase &what, bool quick)
{
	const std::uint32_t rounds = quick ? 10 : 30, repeat = what.known ? 20000 : 5000;
	std::vector<Leaving> contenders;
	std::vector<Series> series{{kFloor, {}}, {kOurs, {}}};
	auto node = load_both(what.flows);

	if (!node)
		return tl::unexpected(node.error());
	for (const int program : {-1, node->egress.program()}) {
		auto next = Leaving::around(program, what);
		if (!next)
			return tl::unexpected(next.error());
		contenders.push_back(std::move(*next));
	}
	if (what.known)
		if (auto made = contenders[1].run(std::max(what.flows, 1000U)); !made)
			return tl::unexpected(made.error());
	for (std::uint32_t round = 0; round < rounds; ++round)
		for (const std::size_t turn : {0, 1}) {
			const std::size_t who = (turn + round) % 2;
			const auto ns = contenders[who].run(repeat);
			if (!ns)
				return tl::unexpected(ns.error());
			series[who].ns.push_back(*ns);
		}
	const auto found = entries_of(node->egress);
	if (!found)
		return tl::unexpected(found.error());
	const bool vip = std::string(what.source) == kVip4;
	const std::size_t expected = !vip	  ? 0
				     : what.known ? what.flows
						  : std::size_t{rounds} * repeat;
	// of new ones, as many as there is room for
	if (what.known ? *found != expected : *found < std::min<std::size_t>(expected, k16K))
		return fail(Exit::kFailed,
			    fmt::format("{}: {} flows were seen instead of {}", what.name, *found,
					expected),
			    "what was measured is not what the case is about");
	return Outcome{what.name, what.about, {}, false, std::move(series)};
}

Status leaving_costs(std::size_t times, std::vector<Cost> &costs)
{
	const LeavingCase full{"", "", kVip4, k256K};
	auto node = load_both(k1M);

	if (!node)
		return tl::unexpected(node.error());
	auto leaving = Leaving::around(node->egress.program(), full);
	if (!leaving)
		return tl::unexpected(leaving.error());
	if (auto made = leaving->run(k256K); !made)
		return tl::unexpected(made.error());
	std::size_t found = 0;
	auto cost = timed("read what leaves", "", times, [&]() -> Status {
		const auto entries = entries_of(node->egress);
		if (!entries)
			return tl::unexpected(entries.error());
		found = *entries;
		return {};
	});
	if (!cost)
		return tl::unexpected(cost.error());
	cost->about = fmt::format("{} flows in its table", found);
	if (found < k256K / 10 * 9)
		return fail(Exit::kFailed, fmt::format("{} flows were read of {}", found, k256K));
	costs.push_back(std::move(*cost));
	return {};
}

} // namespace anycast::bench
