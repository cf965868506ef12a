// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#pragma once

#include <functional>

#include <gtest/gtest.h>

#include "support/isolation.h"

namespace anycast::test {

// The body of a test, in a lab of its own. Its assertions print where they fail; the test fails
// with the lab's exit status, since the parent's gtest cannot see them.
inline void in_lab(const std::function<void()> &body)
{
	const int status = run_isolated([&] {
		body();
		return testing::Test::HasFailure() ? 1 : 0;
	});
	ASSERT_EQ(status, 0) << "the lab failed, see above";
}

} // namespace anycast::test
