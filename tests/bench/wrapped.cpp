// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/wrapped.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include "wrapper.skel.h"

namespace anycast::bench {

namespace {

// Where the network and transport headers of a test packet are.
struct Offsets {
	std::uint32_t l3, l4;
};

Offsets offsets_of(const test::Packet &packet)
{
	std::uint32_t l3 = 14;

	while (l3 < 22 && (packet[l3 - 2] == 0x81 || packet[l3 - 2] == 0x88))
		l3 += 4;
	return {l3, l3 + (packet[l3] >> 4 == 6 ? 40 : (packet[l3] & 15) * 4)};
}

} // namespace

void Wrapped::Close::operator()(wrapper_bpf *skeleton) const
{
	wrapper_bpf__destroy(skeleton);
}

Wrapped::Wrapped(Wrapped &&) noexcept = default;
Wrapped &Wrapped::operator=(Wrapped &&) noexcept = default;
Wrapped::~Wrapped() = default;

Result<Wrapped> Wrapped::load(const Traffic &traffic, std::uint32_t attach_type, bool fragments)
{
	Wrapped wrapped;

	if (!std::has_single_bit(traffic.flows) || !std::has_single_bit(traffic.vips))
		return fail(Exit::kUsage, "flows and VIPs of a benchmark are powers of two");
	wrapped.packet_ = traffic.packet.pad(BENCH_RESTORED);
	wrapped.skeleton_.reset(wrapper_bpf__open());
	if (!wrapped.skeleton_)
		return fail_errno("open the benchmark's wrapper", errno);

	auto &rodata = *wrapped.skeleton_->rodata;
	const Offsets offsets = offsets_of(wrapped.packet_);
	rodata.bench_rotation = traffic.rotation;
	rodata.bench_l3 = offsets.l3;
	rodata.bench_l4 = offsets.l4;
	rodata.bench_mask = traffic.flows - 1;
	rodata.bench_vips = traffic.vips - 1;
	std::memcpy(const_cast<__u8 *>(rodata.bench_template), wrapped.packet_.data(),
		    BENCH_RESTORED);
	bpf_program *program;
	bpf_object__for_each_program(program, wrapped.skeleton_->obj)
	{
		bpf_program__set_expected_attach_type(program,
						      static_cast<bpf_attach_type>(attach_type));
		if (fragments)
			bpf_program__set_flags(program, BPF_F_XDP_HAS_FRAGS);
	}
	if (int error = wrapper_bpf__load(wrapped.skeleton_.get()))
		return fail_errno("load the benchmark's wrapper", error);
	return wrapped;
}

// A tail call needs the same attach type and the same attitude to multi-buffer packets, neither of
// which the kernel tells of a loaded program: tried.
Result<Wrapped> Wrapped::around(int program, const Traffic &traffic)
{
	const std::uint32_t zero = 0;
	int error = 0;

	for (const bool fragments : {false, true}) {
		for (const std::uint32_t type : {static_cast<std::uint32_t>(BPF_XDP), 0U}) {
			auto wrapped = load(traffic, type, fragments);
			if (!wrapped)
				return wrapped;
			const int jump = bpf_map__fd(wrapped->skeleton_->maps.bench_jump);
			if (bpf_map_update_elem(jump, &zero, &program, BPF_ANY) == 0)
				return wrapped;
			error = errno;
		}
	}
	return fail_errno("jump from the wrapper to the program", error,
			  "only XDP programs can be measured, and none that is an extension of "
			  "another");
}

Result<Wrapped> Wrapped::floor(Floor kind, const Traffic &traffic)
{
	const std::uint32_t zero = 0;
	auto wrapped = load(traffic, BPF_XDP, false);

	if (!wrapped)
		return wrapped;
	const auto &programs = wrapped->skeleton_->progs;
	const int leaf = bpf_program__fd(kind == Floor::kTx ? programs.bench_floor_tx
							    : programs.bench_floor_pass);
	if (bpf_map_update_elem(bpf_map__fd(wrapped->skeleton_->maps.bench_jump), &zero, &leaf,
				BPF_ANY) != 0)
		return fail_errno("jump from the wrapper to a floor program", errno);
	return wrapped;
}

Result<Wrapped::Timing> Wrapped::run(std::uint32_t repeat)
{
	test::Bytes out(packet_.size() + 256);

	skeleton_->bss->bench_data = 0;
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet_.data(), .data_out = out.data(),
		    .data_size_in = static_cast<std::uint32_t>(packet_.size()),
		    .data_size_out = static_cast<std::uint32_t>(out.size()),
		    .repeat = static_cast<int>(repeat));
	if (int error = bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.bench_wrapper),
					       &options))
		return fail_errno("run the wrapper", error);
	return Timing{options.duration, options.retval};
}

void Wrapped::visit(std::uint32_t stride, std::uint64_t first)
{
	skeleton_->data->bench_stride = stride;
	skeleton_->bss->bench_counter = first;
}

} // namespace anycast::bench
