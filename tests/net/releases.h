// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Other builds of the command, which `make build/previous/anycast-xdp build/other-abi/anycast-xdp`
// makes: the release before this one (the newest tag's; before the first tag a build of this tree
// that calls itself otherwise), and one with another layout of the maps.
#pragma once

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include <anycast_xdp/pins.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/cli.h"

namespace anycast::test {

// "previous": DIR/previous/anycast-xdp, where DIR is the running program's.
inline Cli other_build(const std::string &name)
{
	const auto directory = std::filesystem::read_symlink("/proc/self/exe").parent_path();
	const char *given = std::getenv("ANYCAST_XDP");
	const std::string before = given ? given : "";

	setenv("ANYCAST_XDP", (directory / name / "anycast-xdp").c_str(), 1);
	Cli cli;
	if (given)
		setenv("ANYCAST_XDP", before.c_str(), 1);
	else
		unsetenv("ANYCAST_XDP");
	return cli;
}

inline Cli previous_release()
{
	return other_build("previous");
}

inline Cli other_abi()
{
	return other_build("other-abi");
}

// Empty if it can be replaced by this one and back.
inline std::string why_no_previous_release()
{
	const Cli previous = previous_release();

	if (!previous.exists())
		return "no " + previous.binary() + ": make it first";
	const std::unique_ptr<FILE, int (*)(FILE *)> pipe(
		::popen((previous.binary() + " --json version").c_str(), "r"), &::pclose);
	std::array<char, 512> text{};
	if (!pipe || std::fread(text.data(), 1, text.size() - 1, pipe.get()) == 0)
		return previous.binary() + " does not run";
	const int abi = nlohmann::json::parse(text.data()).at("abi");
	return abi == AX_ABI_VERSION ? "" : fmt::format("the previous release has ABI {}", abi);
}

// In a guest of tests/vm they are always there.
#define AX_NEED_PREVIOUS_RELEASE()                                                                 \
	do {                                                                                       \
		const std::string why = why_no_previous_release();                                 \
		ASSERT_TRUE(previous_release().exists() || !std::getenv("AX_VM")) << why;          \
		if (!why.empty())                                                                  \
			GTEST_SKIP() << why;                                                       \
	} while (false)

} // namespace anycast::test
