// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The short version of `make test-loss`: the rows that say most, at a sixth of the size.
#include <gtest/gtest.h>

#include "support/in_lab.h"
#include "support/loss_rows.h"

namespace anycast::test {

TEST(LossLine, TheShortTable)
{
	int rows = 0;
	for (const LossRow &row : loss_rows()) {
		if (!row.brief)
			continue;
		rows++;
		in_lab([&] {
			const LossCell cell = run_row(row, true);
			std::printf("%s\n", text_of(row, cell).c_str());
			EXPECT_TRUE(cell.good)
				<< row.injected << ": " << cell.why << "; " << cell.other;
		});
	}
	EXPECT_GE(rows, 4);
}

} // namespace anycast::test
