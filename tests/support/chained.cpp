// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/chained.h"

#include <net/if.h>

#include <bpf/bpf.h>
#include <xdp/libxdp.h>

#include "chained.skel.h"

#include "support/isolation.h"

namespace anycast::test {

void Chained::Destroy::operator()(chained_bpf *skeleton) const
{
	chained_bpf__destroy(skeleton);
}

Chained::Chained(Chained &&) noexcept = default;
Chained::~Chained() = default;

Chained::Chained(const LinkEnd &end, unsigned priority) : skeleton_(chained_bpf__open())
{
	if (!skeleton_)
		throw_errno("open the chained program");
	DECLARE_LIBXDP_OPTS(xdp_program_opts, options, .obj = skeleton_->obj,
			    .prog_name = "chained");
	xdp_program *program = xdp_program__create(&options);
	if (const long error = libxdp_get_error(program)) {
		errno = static_cast<int>(-error);
		throw_errno("libxdp takes the chained program");
	}
	xdp_program__set_run_prio(program, priority);
	const int error = end.netns.run([&] {
		return xdp_program__attach(program,
					   static_cast<int>(if_nametoindex(end.name.c_str())),
					   XDP_MODE_NATIVE, 0);
	});
	xdp_program__close(program);
	if (error) {
		errno = -error;
		throw_errno("chain a program on " + end.name);
	}
}

std::uint64_t Chained::packets() const
{
	const std::uint32_t zero = 0;
	std::uint64_t packets = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.chained_seen), &zero, &packets) != 0)
		throw_errno("read the chained program's counter");
	return packets;
}

} // namespace anycast::test
