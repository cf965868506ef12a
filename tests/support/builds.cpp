// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/builds.h"

#include <cstddef>

#include <anycast_xdp/abi.h>

#include "without_either.skel.h"
#include "without_guard.skel.h"
#include "without_loss.skel.h"

namespace anycast::test {

namespace {

std::string_view bytes_of(const void *(*object)(std::size_t *))
{
	std::size_t size = 0;
	const void *bytes = object(&size);

	return {static_cast<const char *>(bytes), size};
}

} // namespace

std::string_view build_without_guard()
{
	return bytes_of(without_guard_bpf__elf_bytes);
}

std::string_view build_without_loss()
{
	return bytes_of(without_loss_bpf__elf_bytes);
}

std::string_view build_without_either()
{
	return bytes_of(without_either_bpf__elf_bytes);
}

} // namespace anycast::test
